package samples

import (
	"context"
	"io"
	"net/http"
	"time"
)

// TimerPanicHTTP is a timeout by exception in Go, as gevent has it for Python.
// It answers no sooner than context-cancel does, leaves the same behind, and throws a
// late result away.
func TimerPanicHTTP(ctx context.Context, url string, timeout time.Duration) (body []byte, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	timer := time.AfterFunc(timeout, func() { cancel(context.DeadlineExceeded) }) // a panic here would end the process
	defer timer.Stop()
	defer func() {
		if v := recover(); v == context.DeadlineExceeded {
			err = context.DeadlineExceeded
		} else if v != nil {
			panic(v)
		}
	}()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err == nil {
		body, err = io.ReadAll(resp.Body)
		resp.Body.Close()
	}
	if context.Cause(ctx) == context.DeadlineExceeded { // not inside the library, whose locks would stay held
		panic(context.DeadlineExceeded)
	}
	return body, err
}
