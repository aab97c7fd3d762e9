package replay

import (
	"context"
	"fmt"
	"net/http"
	"time"
)

func timeoutHandlerFlush() Experiment {
	return Experiment{
		ID: "golang-34439", Title: "http.TimeoutHandler keeps the whole body, and there is no Flush",
		Issues:   []string{"https://go.dev/issue/34439", "https://go.dev/issue/47899", "https://go.dev/issue/27375"},
		Reported: "Under TimeoutHandler the writer has no Flusher: an event stream breaks, and a large answer is held in memory until the handler returns.",
		Does:     "A handler writes a line, flushes, and works on until the client has that line, 3 s at most.",
		Remedy:   "A context with the timeout, and SetWriteDeadline of http.ResponseController: nothing is buffered.",
		run:      replayTimeoutHandlerFlush,
	}
}

func replayTimeoutHandlerFlush(ctx context.Context, remedy bool) (o Outcome, err error) {
	const most = 3 * time.Second
	arrived, flushed := make(chan struct{}), make(chan error, 1)
	inTime := make(chan bool, 1)
	var handler http.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintln(w, "line")
		flushed <- http.NewResponseController(w).Flush()
		inTime <- within(most, arrived)
	})
	if remedy {
		inner := handler
		handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(soon))
			ctx, cancel := context.WithTimeout(r.Context(), soon)
			defer cancel()
			inner.ServeHTTP(w, r.WithContext(ctx))
		})
	} else {
		handler = http.TimeoutHandler(handler, soon, "")
	}
	url, err := serve(&http.Server{}, handler.ServeHTTP)
	if err != nil {
		return o, err
	}
	resp, err := http.Get(url)
	if err != nil {
		return o, err
	}
	if _, err := resp.Body.Read(make([]byte, 1)); err != nil {
		return o, err
	}
	close(arrived)
	err = <-flushed
	early := <-inTime
	when := map[bool]string{true: "while the handler worked", false: "only when the handler had returned"}[early]
	return Outcome{
		Saw:        fmt.Sprintf("Flush returned %s; the client had the first line %s.", withoutAddresses(err), when),
		Reproduced: err != nil && !early,
	}, nil
}
