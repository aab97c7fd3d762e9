package replay

import (
	"context"
	"fmt"
	"net/http"
	"time"
)

func httpDeadline() Experiment {
	return Experiment{
		ID: "golang-19562", Title: "a deadline does not cross HTTP, and the server works for nobody",
		Issues:   []string{"https://go.dev/issue/19562"},
		Reported: "A client's context has a deadline, and the context of the server's handler has none. gRPC sends it along (grpc-timeout); net/http has no header for that.",
		Does:     "A client with a deadline of 0.3 s calls a server whose work takes 1 s and cannot be interrupted, and counts the seconds worked for nobody in five calls.",
		Remedy:   "Send what is left of the deadline as a header, and let the server refuse work that cannot be done in time.",
		run:      replayHTTPDeadline,
	}
}

// deadlineHeader has what is left of the caller's deadline, as a Go duration: a clock is not shared.
const deadlineHeader = "X-Timeout"

func replayHTTPDeadline(ctx context.Context, remedy bool) (o Outcome, err error) {
	const work, timeout, calls = time.Second, 300 * time.Millisecond, 5
	worked := make(chan time.Duration, calls)
	known := make(chan bool, calls)
	url, err := serve(&http.Server{}, func(w http.ResponseWriter, r *http.Request) {
		ctx := r.Context()
		if left, err := time.ParseDuration(r.Header.Get(deadlineHeader)); err == nil {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, left)
			defer cancel()
		}
		deadline, ok := ctx.Deadline()
		known <- ok
		if ok && time.Until(deadline) < work {
			http.Error(w, "not enough time", http.StatusGatewayTimeout)
			worked <- 0
			return
		}
		time.Sleep(work) // stands for work that looks at no context
		worked <- work
	})
	if err != nil {
		return o, err
	}
	call := func() {
		ctx, cancel := context.WithTimeout(ctx, timeout)
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return
		}
		if remedy {
			deadline, _ := ctx.Deadline()
			req.Header.Set(deadlineHeader, time.Until(deadline).String())
		}
		if resp, err := http.DefaultClient.Do(req); err == nil {
			resp.Body.Close()
		}
	}
	var wasted time.Duration
	knew := 0
	for arrived := 0; arrived < calls; {
		call()
		select {
		case knows := <-known:
			if arrived++; knows {
				knew++
			}
			wasted += <-worked
		case <-time.After(work): // a pause of the machine ended the call before it was sent
		}
	}
	return Outcome{
		Saw:        fmt.Sprintf("In %d of %d calls the handler knew a deadline; it worked %s for nobody.", knew, calls, sec(wasted)),
		Reproduced: knew == 0 && wasted > 0,
	}, nil
}
