package proxy

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"gotimeout/internal/badnet"
	"gotimeout/internal/badnet/probe"
)

// Proxies are a proxy in front of each backend that is attached. They are safe
// for concurrent use.
type Proxies struct {
	mu     sync.Mutex
	fronts map[string]*front
	closed bool
}

// New returns Proxies without any. Close them after use.
func New() *Proxies { return &Proxies{fronts: map[string]*front{}} }

// Attach puts a proxy on a free port of 127.0.0.1 in front of the upstream
// ("host:port", TCP), and returns its address. Its network is good until Apply
// changes it. It dials the upstream once for each connection.
func (p *Proxies) Attach(name, upstream string) (addr string, err error) {
	if _, _, err := net.SplitHostPort(upstream); err != nil {
		return "", fmt.Errorf("a proxy can't be put in front of %s: %w; write its address as host:port", name, err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return "", fmt.Errorf("a proxy can't be put in front of %s: %w", name, errClosed)
	}
	if p.fronts[name] != nil {
		return "", fmt.Errorf("there is a proxy in front of %s already; attach it once, or under another name", name)
	}
	good, err := newNetwork(badnet.Profile{})
	if err != nil {
		return "", err
	}
	f, err := newFront(upstream, good)
	if err != nil {
		return "", fmt.Errorf("no port of 127.0.0.1 for the proxy in front of %s: %w", name, err)
	}
	p.fronts[name] = f
	f.running.Go(f.serve)
	return f.listener.Addr().String(), nil
}

var errClosed = errors.New("the proxies are closed; make new ones")

// Apply changes the network of one backend, for open connections too, and returns
// when it has changed. A connection whose reader reads nothing for 4 s, although
// there is data for it, is reset. Apply returns what Check does; after an error
// the network is unchanged.
func (p *Proxies) Apply(name string, profile badnet.Profile) error {
	if err := Check(profile); err != nil {
		return err
	}
	n, err := newNetwork(profile)
	if err != nil {
		return err
	}
	f, err := p.find(name)
	if err != nil {
		return err
	}
	f.apply(n)
	return nil
}

// Front is the proxy in front of the attached backend. It fails when it has lost its listener.
func (p *Proxies) Front(name string) badnet.Mortal {
	f, err := p.find(name)
	if err != nil {
		panic(err) // it was not attached
	}
	return f
}

func (p *Proxies) find(name string) (*front, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, fmt.Errorf("the network of %s can't be changed: %w", name, errClosed)
	}
	f := p.fronts[name]
	if f == nil {
		return nil, fmt.Errorf("there is no proxy in front of %q; there are proxies in front of: %s",
			name, strings.Join(slices.Sorted(maps.Keys(p.fronts)), ", "))
	}
	return f, nil
}

// Close resets the open connections and returns when all goroutines have ended. A
// second Close does nothing.
func (p *Proxies) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	var errs []error
	for name, f := range p.fronts {
		if err := f.close(); err != nil {
			errs = append(errs, fmt.Errorf("closing the proxy in front of %s: %w", name, err))
		}
		delete(p.fronts, name)
	}
	return errors.Join(errs...)
}

// stuck is how long a change of the network waits for a connection whose
// reader reads nothing. After 5 s toxiproxy would lose bytes.
const stuck = 4 * time.Second

// front is a backend's proxy.
type front struct {
	upstream string
	listener *net.TCPListener
	life     context.Context // ends with Close
	end      context.CancelFunc
	failed   chan error     // has why there is no listener any more
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
	f := &front{upstream: upstream, listener: listener, network: n, failed: make(chan error, 1), pairs: map[*pair]bool{}}
	f.life, f.end = context.WithCancel(context.Background())
	return f, nil
}

// Failed implements badnet.Mortal.
func (f *front) Failed() <-chan error { return f.failed }

func (f *front) serve() {
	defer close(f.failed)
	for {
		client, err := probe.Accept(f.listener)
		if err != nil {
			if f.life.Err() == nil {
				f.failed <- fmt.Errorf("the proxy in front of %s has lost its listener: %w", f.upstream, err)
			}
			return
		}
		f.running.Go(func() { f.connect(client.(*net.TCPConn)) })
	}
}

// connect joins a client with the backend. It resets the client's connection where
// the backend can't be reached.
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

// apply puts all pairs on a network, and resets the open pairs that can't be
// changed in time.
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

// Check returns badnet.ErrCannot with a sentence that says what to do where a
// proxy can't do a valid profile: it has no packets to lose, corrupt, reorder,
// duplicate or count, its jitter is uniform, and its times are whole milliseconds.
func Check(p badnet.Profile) error {
	if p.Up == p.Down {
		return check("", p.Up)
	}
	if err := check("up.", p.Up); err != nil {
		return err
	}
	return check("down.", p.Down)
}

func check(prefix string, l badnet.Link) error {
	word := func(l badnet.Link) string { return prefix + badnet.Profile{Up: l, Down: l}.String() }
	limit := l.Limit
	if limit == badnet.DefaultLimit {
		limit = 0
	}
	for _, c := range []struct {
		deed, key string
		asked     bool
		link      badnet.Link
	}{
		{"lose", "loss", l.Loss != 0, badnet.Link{Loss: l.Loss, Burst: l.Burst, Correlation: l.Correlation}},
		{"corrupt", "corrupt", l.Corrupt != 0, badnet.Link{Corrupt: l.Corrupt}},
		{"lose", "outage", l.Outage != 0, badnet.Link{Outage: l.Outage, Every: l.Every, Exponential: l.Exponential}},
		{"time", "trace", l.Trace.File != "", badnet.Link{Trace: l.Trace}},
		{"queue", "queue", l.Queue != badnet.DropTail, badnet.Link{Queue: l.Queue}},
		{"reorder", "reorder", l.Reorder != 0, badnet.Link{Reorder: l.Reorder}},
		{"duplicate", "duplicate", l.Duplicate != 0, badnet.Link{Duplicate: l.Duplicate}},
		{"count", "limit", limit != 0, badnet.Link{Limit: limit}},
	} {
		if c.asked {
			return badnet.Cannot("the proxy driver can't %s packets (%s), since a proxy sees none: use netem or tun, or leave %s out",
				c.deed, word(c.link), prefix+c.key)
		}
	}
	switch {
	case l.Jitter != 0 && l.Distribution != badnet.Uniform:
		return badnet.Cannot("the proxy driver has no jitter but a uniform one (%s): use netem or tun, or write %sjitter=%s",
			word(badnet.Link{Jitter: l.Jitter, Distribution: l.Distribution}), prefix, l.Jitter)
	case l.Delay%time.Millisecond != 0:
		return cannotSplit(prefix+"delay", l.Delay)
	case l.Jitter%time.Millisecond != 0:
		return cannotSplit(prefix+"jitter", l.Jitter)
	}
	return nil
}

func cannotSplit(key string, d time.Duration) error {
	return badnet.Cannot("the proxy driver can't split a millisecond (%s=%s): use netem or tun, or write %s=%s",
		key, d, key, d.Truncate(time.Millisecond)+time.Millisecond)
}
