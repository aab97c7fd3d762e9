package samples

import (
	"context"
	"io"
	"net/http"
	"time"
)

// GoroutineAbandonHTTP answers on time, whatever the call does. The goroutine and its
// connection stay until the server answers: bound how many calls may be in flight.
func GoroutineAbandonHTTP(url string, timeout time.Duration) ([]byte, error) {
	type result struct {
		body []byte
		err  error
	}
	done := make(chan result, 1) // without the buffer an abandoned goroutine never ends
	go func() {
		var r result
		resp, err := http.Get(url)
		if r.err = err; err == nil {
			r.body, r.err = io.ReadAll(resp.Body)
			resp.Body.Close()
		}
		done <- r
	}()
	select {
	case r := <-done:
		return r.body, r.err
	case <-time.After(timeout):
		return nil, context.DeadlineExceeded
	}
}
