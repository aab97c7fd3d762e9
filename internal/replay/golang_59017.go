package replay

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"gotimeout/internal/backends"
	httpbackend "gotimeout/internal/backends/http"
)

func httpDials() Experiment {
	return Experiment{
		ID: "golang-59017", Title: "a dial goes on after the request that wanted it was cancelled",
		Issues:   []string{"https://go.dev/issue/59017", "https://go.dev/issue/66442", "https://github.com/letsencrypt/boulder/pull/7665"},
		Reported: "The transport dials for the request that waits, or for a later one: since Go 1.23 the dial has the request's values and not its end. To a host that does not answer, dials pile up for as long as the kernel tries: two minutes.",
		Does:     "A request with a context of 0.2 s goes to a port that answers no SYN. Does its dial go on for 3 s more?",
		Remedy:   "Set Dialer.Timeout: 0.5 s here.",
		run:      replayHTTPDials,
	}
}

func replayHTTPDials(ctx context.Context, remedy bool) (o Outcome, err error) {
	targets, err := httpbackend.StartTargets(backends.Options{MaxDelay: time.Minute})
	if err != nil {
		return o, err
	}
	url, ok := targets.URLs["blackhole"]
	if !ok {
		return o, errCannot{"only Linux drops a SYN for a listener whose queue is full"}
	}
	var dialer net.Dialer
	if remedy {
		dialer.Timeout = 500 * time.Millisecond
	}
	ended := make(chan struct{})
	client := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
		defer close(ended)
		return dialer.DialContext(ctx, network, addr)
	}}}
	ctx, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
	defer cancel()
	began := time.Now()
	_, _, err = get(ctx, client, url)
	if answered := time.Since(began); !errors.Is(err, context.DeadlineExceeded) {
		return o, fmt.Errorf("the request ended otherwise than by its context: %w", err)
	} else if within(3*time.Second, ended) {
		return Outcome{Saw: fmt.Sprintf("The request returned after %s, and its dial ended %s after that.", sec(answered), sec(time.Since(began)-answered))}, nil
	} else {
		return Outcome{Saw: fmt.Sprintf("The request returned after %s, and its dial still ran %s after that.", sec(answered), sec(time.Since(began)-answered)), Reproduced: true}, nil
	}
}
