package replay

import (
	"context"
	"fmt"
	"net/http"
	"time"
)

func writeTimeout() Experiment {
	return Experiment{
		ID: "golang-59602", Title: "the server's WriteTimeout neither cancels the handler nor answers",
		Issues:   []string{"https://go.dev/issue/59602", "https://go.dev/issue/31463", "https://go.dev/issue/21389"},
		Reported: "When WriteTimeout has passed, the request's context is not done, the handler goes on, its writes return no error, and the client gets an EOF instead of an answer.",
		Does:     "A server with a WriteTimeout of 0.3 s has a handler that works for 2 s or until its context is done, and then answers.",
		Remedy:   "Give the handler a context with that timeout, and the server a WriteTimeout that is longer.",
		run:      replayWriteTimeout,
	}
}

func replayWriteTimeout(ctx context.Context, remedy bool) (o Outcome, err error) {
	const work, timeout = 2 * time.Second, 300 * time.Millisecond
	ended := make(chan string, 1)
	server := &http.Server{WriteTimeout: timeout}
	if remedy {
		server.WriteTimeout = work + soon
	}
	url, err := serve(server, func(w http.ResponseWriter, r *http.Request) {
		ctx := r.Context()
		if remedy {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, timeout)
			defer cancel()
		}
		select {
		case <-time.After(work):
			_, err := fmt.Fprint(w, "done")
			ended <- fmt.Sprintf("worked to its end, and its Write returned %s", withoutAddresses(err))
		case <-ctx.Done():
			w.WriteHeader(http.StatusGatewayTimeout)
			ended <- "was cancelled"
		}
	})
	if err != nil {
		return o, err
	}
	client := &http.Client{Transport: &http.Transport{}}
	status, _, err := get(ctx, client, url)
	handler := <-ended
	got := fmt.Sprintf("status %d", status)
	if err != nil {
		got = "the error " + withoutAddresses(err)
	}
	return Outcome{
		Saw:        fmt.Sprintf("The handler %s; the client got %s.", handler, got),
		Reproduced: err != nil && handler != "was cancelled",
	}, nil
}
