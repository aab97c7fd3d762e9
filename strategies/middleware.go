package strategies

import (
	"context"
	"fmt"
	"net/http"
	"time"
)

func timeoutHandler() Strategy {
	return Strategy{
		Name: "timeout-handler", Family: AroundHandler,
		Doc: "net/http's TimeoutHandler around the handler: it cancels the context and answers 503 at the timeout without the handler, so a deaf op runs on as an abandoned goroutine.",
		Do:  Middleware(withTimeoutHandler).Do,
	}
}

func withTimeoutHandler(timeout time.Duration) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler { return http.TimeoutHandler(next, timeout, "") }
}

// Middleware makes a strategy of a middleware that bounds a handler: Do serves a request, in
// memory, to a handler that calls ops behind the middleware. As handlers do, it answers 200
// where ops succeed, 500 where they fail, and nothing after the end of its context. The
// status that comes out decides: 503 or 504 is ErrTimeout, and a late 200 is no error.
//
// With http.TimeoutHandler that is the strategy timeout-handler: on time for aware and deaf
// ops alike. It costs a copy of the whole body (https://go.dev/issue/47899) and has no Flush
// (https://go.dev/issue/34439).
type Middleware func(timeout time.Duration) func(http.Handler) http.Handler

// Do is the Do of a Strategy. A panic of an op comes back as a *PanicError; one after the
// timeout is lost (https://go.dev/issue/34608).
func (m Middleware) Do(ctx context.Context, timeout time.Duration, ops ...Op) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "/", nil)
	if err != nil {
		return err
	}
	handler, w := newOpHandler(ops), &statusWriter{header: http.Header{}}
	m(timeout)(handler).ServeHTTP(w, r)
	return handler.outcome(ctx, w.status)
}

// opHandler is the handler of a request whose work are ops.
type opHandler struct {
	op      Op
	started chan struct{} // closed when the op begins
	done    chan error    // the error of the op
}

func newOpHandler(ops []Op) *opHandler {
	return &opHandler{Together(ops...), make(chan struct{}), make(chan error, 1)}
}

func (h *opHandler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	close(h.started)
	err := guard(r.Context(), h.op)
	h.done <- err
	switch {
	case err == nil:
		w.WriteHeader(http.StatusOK)
	case r.Context().Err() == nil:
		w.WriteHeader(http.StatusInternalServerError)
	}
}

// outcome returns the error of a request by the status of its answer.
func (h *opHandler) outcome(ctx context.Context, status int) error {
	switch {
	case status == http.StatusOK || status == http.StatusInternalServerError:
		return <-h.done
	case ctx.Err() != nil:
		return context.Cause(ctx)
	}
	select {
	case err := <-h.done:
		if err != nil {
			return fmt.Errorf("%w: %w", ErrTimeout, err)
		}
	default:
	}
	return ErrTimeout
}

// statusWriter is a ResponseWriter that keeps the first status.
type statusWriter struct {
	header http.Header
	status int
}

func (w *statusWriter) Header() http.Header { return w.header }

func (w *statusWriter) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
}

func (w *statusWriter) Write(b []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	return len(b), nil
}
