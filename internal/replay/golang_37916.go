package replay

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"
)

func httpBody() Experiment {
	return Experiment{
		ID: "golang-37916", Title: "http.Client's Timeout cuts a body that comes in good time",
		Issues:   []string{"https://go.dev/issue/37916"},
		Reported: "Client.Timeout covers the whole exchange with the reading of the body: a long download or a stream is cut although its server answers at once and sends on.",
		Does:     "A server answers at once and sends 20 lines, one every 0.1 s, to a client with a Timeout of 1 s.",
		Remedy:   "Bound the phases instead: ResponseHeaderTimeout in the transport, beside Dialer.Timeout and TLSHandshakeTimeout.",
		run:      replayHTTPBody,
	}
}

func replayHTTPBody(ctx context.Context, remedy bool) (o Outcome, err error) {
	const lines = 20
	url, err := serve(&http.Server{}, func(w http.ResponseWriter, r *http.Request) {
		for range lines {
			fmt.Fprintln(w, "line")
			_ = http.NewResponseController(w).Flush()
			time.Sleep(100 * time.Millisecond)
		}
	})
	if err != nil {
		return o, err
	}
	client := &http.Client{Timeout: time.Second}
	if remedy {
		client = &http.Client{Transport: &http.Transport{ResponseHeaderTimeout: soon}}
	}
	_, body, err := get(ctx, client, url)
	return Outcome{
		Saw:        fmt.Sprintf("%d of %d lines were read, then: %s.", strings.Count(body, "\n"), lines, withoutAddresses(err)),
		Reproduced: err != nil,
	}, nil
}
