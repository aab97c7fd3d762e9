package proxy

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"

	"gotimeout/internal/badnet"
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
// changes it. It dials the upstream for each connection, and not before.
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

// Apply changes the network of one backend, on open connections too, and
// returns when it has changed. A connection whose reader takes nothing for 4 s,
// while there is something for it, is reset instead. What Check refuses is its
// error; on any error the network is what it was.
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

func (p *Proxies) find(name string) (*front, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, fmt.Errorf("the network of %s can't be changed: %w", name, errClosed)
	}
	f := p.fronts[name]
	if f == nil {
		return nil, fmt.Errorf("there is no proxy in front of %q; there are ones in front of: %s",
			name, strings.Join(slices.Sorted(maps.Keys(p.fronts)), ", "))
	}
	return f, nil
}

// Close resets what is open and returns when all has ended. It can be called
// again.
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
