package timewait

import (
	"context"
	"fmt"
	"net/http"
	"sync"

	"gotimeout/internal/sockets"
)

// cancelledRequests is how many requests a step cancels.
const cancelledRequests = 20

// cancelled cancels requests that a server is working on.
func cancelled(ctx context.Context, l *lab) error {
	for _, c := range []struct {
		did, why string
		handler  func(w http.ResponseWriter, r *http.Request)
		reset    bool
	}{
		{"the handler does not notice and answers",
			"The answer arrives at a closed connection, and the client's kernel replies with an RST, which ends the connection at both ends.",
			func(w http.ResponseWriter, r *http.Request) {
				<-r.Context().Value(clientsLeftKey{}).(<-chan struct{})
				fmt.Fprint(w, hello)
			}, true},
		{"the handler notices and returns",
			"For a handler that writes nothing, Go's server answers with an empty 200: again to a closed connection.",
			func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, true},
		{"the handler notices and panics with http.ErrAbortHandler",
			"Only a server that sends nothing more closes the connection in order, and then the client, which closed first, keeps the TIME-WAIT.",
			func(_ http.ResponseWriter, r *http.Request) {
				<-r.Context().Done()
				panic(http.ErrAbortHandler)
			}, false},
	} {
		s, err := cancelAll(ctx, c.handler)
		if err != nil {
			return err
		}
		s.Did = fmt.Sprintf("%d requests are cancelled; %s", cancelledRequests, c.did)
		s.Why = c.why
		s.Expected = "mostly RSTs, less than half as many TIME-WAITs as requests"
		s.OK = *s.Resets > cancelledRequests/2 && *s.ClientTimeWait < cancelledRequests/2
		if !c.reset {
			s.Expected = "mostly TIME-WAITs, at the client's end"
			s.OK = *s.ClientTimeWait > cancelledRequests/2
		}
		l.step(s)
	}
	return nil
}

// clientsLeftKey is the context key of a channel that is closed when the clients have left. A handler that waits for it does not
// read from its connection.
type clientsLeftKey struct{}

// cancelAll cancels requests while a handler has each of them, and counts RSTs and TIME-WAITs.
func cancelAll(ctx context.Context, handler http.HandlerFunc) (s Step, err error) {
	clientsLeft := make(chan struct{})
	began := make(chan struct{}, cancelledRequests)
	srv, err := serveHTTP(ctx, func(w http.ResponseWriter, r *http.Request) {
		began <- struct{}{}
		handler(w, r.WithContext(context.WithValue(r.Context(), clientsLeftKey{}, (<-chan struct{})(clientsLeft))))
	})
	if err != nil {
		return s, err
	}
	defer srv.close()
	announce := sync.OnceFunc(func() { close(clientsLeft) })
	defer announce()
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
	for range cancelledRequests {
		clients.Go(func() { _ = get(requests, client, srv.url) })
	}
	for range cancelledRequests {
		select {
		case <-began:
		case <-ctx.Done():
			return s, context.Cause(ctx)
		}
	}
	cancel()
	clients.Wait()
	// The kernel has sent the FINs of the clients when none of their ends is open.
	if err := until(ctx, patience, func() (bool, error) {
		conns, err := look(srv.port)
		return count(conns.client, sockets.Established) == 0, err
	}); err != nil {
		return s, err
	}
	announce()
	conns, err := settled(ctx, srv.port)
	if err != nil {
		return s, err
	}
	after, err := sockets.Count()
	requestsN, resets := cancelledRequests, int(after.Sub(before).Resets)
	atClient, atServer := count(conns.client, sockets.TimeWait), count(conns.server, sockets.TimeWait)
	s.Figures = Figures{Requests: &requestsN, Resets: &resets, ClientTimeWait: &atClient, ServerTimeWait: &atServer}
	s.Saw = fmt.Sprintf("%d RST, %d TIME-WAIT at the client, %d at the server", resets, atClient, atServer)
	return s, err
}
