package slowops_test

import (
	"io"
	"net"
	"sync"
	"testing"
)

// serve calls each for every connection to addr, on a goroutine of its own, and
// closes the connection after it. The end of the test closes all of them.
func serve(t *testing.T, each func(net.Conn)) (addr string) {
	t.Helper()
	listener := listen(t)
	var (
		mu      sync.Mutex
		open    = map[net.Conn]bool{}
		running sync.WaitGroup
	)
	handle := func(c net.Conn) {
		each(c)
		c.Close()
		mu.Lock()
		defer mu.Unlock()
		delete(open, c)
	}
	running.Go(func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			open[c] = true
			mu.Unlock()
			running.Go(func() { handle(c) })
		}
	})
	t.Cleanup(func() {
		listener.Close()
		mu.Lock()
		for c := range open {
			c.Close()
		}
		mu.Unlock()
		running.Wait()
	})
	return listener.Addr().String()
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return listener
}

// relay passes connections on to a server, unchanged, and counts them as a
// server sees them.
type relay struct {
	addr string

	mu                       sync.Mutex
	accepted, open, mostOpen int
}

func startRelay(t *testing.T, to string) *relay {
	t.Helper()
	r := new(relay)
	r.addr = serve(t, func(client net.Conn) {
		r.count(1)
		defer r.count(-1)
		pass(client, to)
	})
	return r
}

// pass copies both ways until either side ends the connection.
func pass(client net.Conn, to string) {
	server, err := net.Dial("tcp", to)
	if err != nil {
		return
	}
	back := make(chan struct{})
	go func() {
		defer close(back)
		_, _ = io.Copy(client, server)
		client.Close()
	}()
	_, _ = io.Copy(server, client)
	server.Close()
	<-back
}

func (r *relay) count(change int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if change > 0 {
		r.accepted++
	}
	r.open += change
	r.mostOpen = max(r.mostOpen, r.open)
}

// acceptedSoFar, openNow and openAtMost count connections.
func (r *relay) acceptedSoFar() int { return r.look(&r.accepted) }
func (r *relay) openNow() int       { return r.look(&r.open) }
func (r *relay) openAtMost() int    { return r.look(&r.mostOpen) }

func (r *relay) look(n *int) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return *n
}
