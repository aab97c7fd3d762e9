package timewait

import (
	"context"
	"fmt"
	"net/http"
	"sync"

	"gotimeout/internal/sockets"
)

// cancelled is how many requests are cancelled in a step.
const cancelled = 20

// myth cancels requests that a server is working on.
func myth(ctx context.Context, l *lab) error {
	for _, c := range []struct {
		did, why string
		handler  func(w http.ResponseWriter, r *http.Request)
		reset    bool
	}{
		{"the handler doesn't notice and answers",
			"The answer comes to a connection that is closed, and the client's kernel says so with an RST: it ends the connection on both ends.",
			func(w http.ResponseWriter, r *http.Request) {
				<-r.Context().Value(leftKey{}).(<-chan struct{})
				fmt.Fprint(w, hello)
			}, true},
		{"the handler notices and returns",
			"Go's server answers for a handler that returns without a word, with an empty 200: to a closed connection again.",
			func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, true},
		{"the handler notices and panics with http.ErrAbortHandler",
			"Only a server that says nothing more closes as TCP would have it, and then the client, which closed first, keeps the TIME-WAIT.",
			func(_ http.ResponseWriter, r *http.Request) {
				<-r.Context().Done()
				panic(http.ErrAbortHandler)
			}, false},
	} {
		s, err := cancelAll(ctx, c.handler)
		if err != nil {
			return err
		}
		s.Did = fmt.Sprintf("%d requests are cancelled; %s", cancelled, c.did)
		s.Why = c.why
		s.Expected = "mostly RSTs, less than half as many TIME-WAITs as requests"
		s.OK = *s.Resets > cancelled/2 && *s.ClientTimeWait < cancelled/2
		if !c.reset {
			s.Expected = "mostly TIME-WAITs, at the client's end"
			s.OK = *s.ClientTimeWait > cancelled/2
		}
		l.step(s)
	}
	return nil
}

// leftKey is the context key of what tells a handler that the clients have left,
// without a look at its connection.
type leftKey struct{}

// cancelAll has requests under way, cancels them all, and counts what is left.
func cancelAll(ctx context.Context, handler http.HandlerFunc) (s Step, err error) {
	left := make(chan struct{})
	began := make(chan struct{}, cancelled)
	srv, err := serveHTTP(ctx, func(w http.ResponseWriter, r *http.Request) {
		began <- struct{}{}
		handler(w, r.WithContext(context.WithValue(r.Context(), leftKey{}, (<-chan struct{})(left))))
	})
	if err != nil {
		return s, err
	}
	defer srv.close()
	leave := sync.OnceFunc(func() { close(left) })
	defer leave()
	before, err := sockets.Count()
	if err != nil {
		return s, err
	}
	requests, cancel := context.WithCancel(ctx)
	var clients sync.WaitGroup
	defer clients.Wait()
	defer cancel()
	client := newClient(0)
	defer client.CloseIdleConnections()
	for range cancelled {
		clients.Go(func() { _ = get(requests, client, srv.url) })
	}
	for range cancelled {
		select {
		case <-began:
		case <-ctx.Done():
			return s, context.Cause(ctx)
		}
	}
	cancel()
	clients.Wait()
	// The clients' kernel has sent the FINs when none of their ends is open.
	if err := until(ctx, patience, func() (bool, error) {
		e, err := look(srv.port)
		return count(e.client, sockets.Established) == 0, err
	}); err != nil {
		return s, err
	}
	leave()
	e, err := settled(ctx, srv.port)
	if err != nil {
		return s, err
	}
	after, err := sockets.Count()
	requestsN, resets := cancelled, int(after.Sub(before).Resets)
	atClient, atServer := count(e.client, sockets.TimeWait), count(e.server, sockets.TimeWait)
	s.Figures = Figures{Requests: &requestsN, Resets: &resets, ClientTimeWait: &atClient, ServerTimeWait: &atServer}
	s.Saw = fmt.Sprintf("%d RST, %d TIME-WAIT at the client, %d at the server", resets, atClient, atServer)
	return s, err
}
