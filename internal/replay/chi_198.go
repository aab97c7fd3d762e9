package replay

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"strings"
	"time"

	"github.com/go-chi/chi/v5/middleware"
)

func chiTimeout() Experiment {
	return Experiment{
		ID: "chi-198", Title: "chi's middleware.Timeout does not bound a handler that ignores its context",
		Issues:   []string{"https://github.com/go-chi/chi/issues/198"},
		Reported: "middleware.Timeout only sets the deadline of the request's context: a handler that does not look at it answers late, with its own status.",
		Does:     "A handler works for 2 s under a Timeout of 0.2 s, looks at no context, and answers 200.",
		Remedy:   "http.TimeoutHandler, which answers 503 beside the handler; or a handler that honours its context.",
		run:      replayChiTimeout,
	}
}

func replayChiTimeout(ctx context.Context, remedy bool) (o Outcome, err error) {
	const work, timeout = 2 * time.Second, 200 * time.Millisecond
	ended := make(chan struct{})
	var handler http.Handler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		defer close(ended)
		time.Sleep(work)
		fmt.Fprint(w, "done")
	})
	if remedy {
		handler = http.TimeoutHandler(handler, timeout, "")
	} else {
		handler = middleware.Timeout(timeout)(handler)
	}
	logged := new(lines)
	url, err := serve(&http.Server{ErrorLog: log.New(logged, "", 0)}, handler.ServeHTTP)
	if err != nil {
		return o, err
	}
	began := time.Now()
	status, _, err := get(ctx, http.DefaultClient, url)
	took := time.Since(began)
	if err != nil {
		return o, err
	}
	late := closed(ended)
	return Outcome{
		Saw: fmt.Sprintf("The client had status %d after %s, %s the handler had ended; the server's log has %q.",
			status, sec(took), when(late), withoutCaller(logged.String())),
		Reproduced: late && status == http.StatusOK,
	}, nil
}

// withoutCaller returns a line of net/http's log without the place in the code.
func withoutCaller(line string) string {
	message, _, _ := strings.Cut(line, " from ")
	return strings.TrimSpace(message)
}
