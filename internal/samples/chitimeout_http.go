package samples

import (
	"io"
	"net/http"
	"time"

	"github.com/go-chi/chi/v5/middleware"
)

// ChiTimeoutHTTP gives the request's context the timeout, and answers 504 once the handler has
// returned without an answer. The middleware only sets the context
// (https://github.com/go-chi/chi/issues/198): a handler that ignores it answers 200, late.
func ChiTimeoutHTTP(url string, timeout time.Duration) http.Handler {
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
	return middleware.Timeout(timeout)(http.HandlerFunc(slow))
}
