package proxy

import (
	"context"
	"errors"
	"maps"
	"net"
	"slices"
	"sync"
	"time"
)

const (
	acceptAgain = 10 * time.Millisecond // after an error: no descriptors, perhaps

	// stuck is how long a change of the network waits for a connection whose
	// reader takes nothing. After 5 s toxiproxy would lose bytes of it.
	stuck = 4 * time.Second
)

// front is a backend's proxy.
type front struct {
	upstream string
	listener *net.TCPListener
	life     context.Context // ends with Close
	end      context.CancelFunc
	running  sync.WaitGroup // the pairs too
	applying sync.Mutex

	mu      sync.Mutex
	network *network
	pairs   map[*pair]bool
}

// newFront returns a proxy on a free port of 127.0.0.1, to be served.
func newFront(upstream string, n *network) (*front, error) {
	listener, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return nil, err
	}
	f := &front{upstream: upstream, listener: listener, network: n, pairs: map[*pair]bool{}}
	f.life, f.end = context.WithCancel(context.Background())
	return f, nil
}

func (f *front) serve() {
	for {
		client, err := f.listener.AcceptTCP()
		switch {
		case err == nil:
			f.running.Go(func() { f.connect(client) })
		case errors.Is(err, net.ErrClosed):
			return
		default:
			select {
			case <-time.After(acceptAgain):
			case <-f.life.Done():
			}
		}
	}
}

// connect joins a client with the backend. Where that can't be reached, the
// client's connection is reset.
func (f *front) connect(client *net.TCPConn) {
	server, err := new(net.Dialer).DialContext(f.life, "tcp", f.upstream)
	if err != nil {
		_ = client.SetLinger(0)
		_ = client.Close()
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	p := newPair(f, client, server.(*net.TCPConn))
	if f.life.Err() != nil {
		p.client.breaks()
		p.server.breaks()
		return
	}
	f.running.Add(1)
	f.pairs[p] = true
	p.up.start(f.network)
	p.down.start(f.network)
}

func (f *front) forget(p *pair) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.pairs, p)
	f.running.Done()
}

// apply puts the open pairs and those to come on a network, and resets those
// that can't be changed in time.
func (f *front) apply(n *network) {
	f.applying.Lock()
	defer f.applying.Unlock()
	f.mu.Lock()
	f.network = n
	open := slices.Collect(maps.Keys(f.pairs))
	f.mu.Unlock()
	var changes sync.WaitGroup
	for _, p := range open {
		changes.Go(func() {
			late := time.AfterFunc(stuck, p.reset)
			defer late.Stop()
			p.change(n)
		})
	}
	changes.Wait()
}

// close resets what is open, and returns when all has ended.
func (f *front) close() error {
	f.mu.Lock()
	f.end()
	err := f.listener.Close()
	open := slices.Collect(maps.Keys(f.pairs))
	f.mu.Unlock()
	for _, p := range open {
		p.reset()
	}
	f.running.Wait()
	return err
}
