package samples

import (
	"io"
	"net/http"
	"time"
)

// TimeoutHandlerHTTP answers 503 at the timeout, whatever the handler does, and cancels the
// handler's context. It keeps the whole body in memory until the handler returns
// (https://go.dev/issue/47899), and loses a panic after the timeout (https://go.dev/issue/34608).
func TimeoutHandlerHTTP(url string, timeout time.Duration) http.Handler {
	slow := func(w http.ResponseWriter, r *http.Request) {
		req, err := http.NewRequestWithContext(r.Context(), http.MethodGet, url, nil)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			if r.Context().Err() == nil {
				http.Error(w, err.Error(), http.StatusBadGateway)
			}
			return
		}
		defer resp.Body.Close()
		_, _ = io.Copy(w, resp.Body)
	}
	return http.TimeoutHandler(http.HandlerFunc(slow), timeout, "no answer in time")
}
