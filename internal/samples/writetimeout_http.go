package samples

import (
	"io"
	"net/http"
	"time"
)

// WriteTimeoutHTTP does not end the handler at the timeout: its context goes on
// (https://go.dev/issue/59602). The answer of a late handler can't be written, and its client
// gets a closed connection without a status. Bound the handler's own calls too.
func WriteTimeoutHTTP(url string, timeout time.Duration) *http.Server {
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
	return &http.Server{Handler: http.HandlerFunc(slow), WriteTimeout: timeout}
}
