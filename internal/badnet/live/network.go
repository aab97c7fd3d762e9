package live

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"gotimeout/internal/badnet"
	"gotimeout/internal/badnet/drivers"
	"gotimeout/internal/badnet/netlog"
	"gotimeout/internal/badnet/private"
	"gotimeout/internal/badnet/probe"
)

// Network is the lab's network. It is safe for concurrent use.
type Network struct {
	driver, why string
	seed        uint64
	attachment  attachment

	state atomic.Pointer[badnet.State]

	mu       sync.Mutex // for what follows; it is held during a change
	all      badnet.Profile
	own      map[string]badnet.Profile
	backends []string

	telling sync.Mutex // for what follows, and for storing the state
	made    *badnet.State
	lost    map[string]error // by backend, "" for all of them
	failed  chan error
	parts   sync.WaitGroup
}

// attachment is how backends are attached to a network: their packets are shaped,
// or proxies are put in front of them.
type attachment interface {
	// attach attaches a server and returns the address to dial, "" for its own. The part
	// that leads there is nil where there is none.
	attach(name, network, addr string, outside bool) (dial string, part badnet.Mortal, err error)
	// apply gives each backend its profile, and the probes theirs.
	apply(probes badnet.Profile, backends map[string]badnet.Profile) error
	// way is the way that has the probes' profile.
	way() probe.Way
	close() error
}

// Private returns a network on the loopback of this private process, by the named
// driver of packets, or for auto by the first that works and can do the profile.
// Where none does, the error says why.
func Private(p *private.Process, driver string, profile badnet.Profile, seed uint64) (*Network, error) {
	name, why, packets, err := drivers.Open(driver, seed, func(d badnet.Driver) error {
		return d.Apply(badnet.Plan{Ports: map[uint16]badnet.Profile{anyPort: profile}})
	})
	if err != nil {
		return nil, err
	}
	m, err := newPackets(p, name, packets)
	if err != nil {
		return nil, errors.Join(err, packets.Close())
	}
	n := newNetwork(name, why, m)
	n.seed = seed
	if d, ok := packets.(badnet.Mortal); ok {
		n.watch("", d)
	}
	return n, nil
}

// Proxies returns a network of a proxy in front of each backend. The reason says
// why it is not a private network.
func Proxies(reason string) (*Network, error) {
	m, err := newProxies()
	if err != nil {
		return nil, err
	}
	return newNetwork(badnet.Proxy, reason, m), nil
}

// anyPort stands for a backend's port before there is one.
const anyPort = 1

func newNetwork(driver, why string, a attachment) *Network {
	n := &Network{
		driver: driver, why: why, attachment: a, own: map[string]badnet.Profile{},
		lost: map[string]error{}, failed: make(chan error, 1),
	}
	n.tell(&badnet.State{Path: n.path(badnet.Profile{}, nil), Why: why})
	return n
}

// watch has the state say when a part of the network has ended by an error: the way to a backend, or for "" to all.
func (n *Network) watch(backend string, part badnet.Mortal) {
	n.parts.Go(func() {
		for err := range part.Failed() {
			n.telling.Lock()
			n.lost[backend] = err
			n.telling.Unlock()
			n.tell(nil)
			select {
			case n.failed <- err:
			default: // one is enough for the log
			}
		}
	})
}

// Failed has the error of a part that has ended. It is closed when the network is.
func (n *Network) Failed() <-chan error { return n.failed }

// tell stores a new state, nil for the present one, with what is lost.
func (n *Network) tell(made *badnet.State) {
	n.telling.Lock()
	defer n.telling.Unlock()
	if made != nil {
		n.made = made
	}
	s := *n.made
	s.Backends = maps.Clone(s.Backends)
	for backend, err := range n.lost {
		if backend == "" {
			s.Ended = err.Error()
			continue
		}
		path := *n.made.Of(backend)
		path.Ended = err.Error()
		if s.Backends == nil {
			s.Backends = map[string]badnet.Path{}
		}
		s.Backends[backend] = path
	}
	if s.Ended != "" {
		for backend, path := range s.Backends {
			path.Ended = s.Ended
			s.Backends[backend] = path
		}
	}
	n.state.Store(&s)
}

// Attach attaches a backend and returns the address to dial, "" for its own. A
// backend outside of this process's network is reached through a relay.
func (n *Network) Attach(name, network, addr string, outside bool) (dial string, err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.backends = append(n.backends, name)
	dial, part, err := n.attachment.attach(name, network, addr, outside)
	if err == nil && part != nil {
		n.watch(name, part)
	}
	return dial, err
}

// State returns the present network.
func (n *Network) State() *badnet.State { return n.state.Load() }

// Set gives a backend a profile, or with "" all backends, and measures it. After
// an error the network is unchanged.
func (n *Network) Set(ctx context.Context, backend string, p badnet.Profile) error {
	return n.change(ctx, backend, func(own map[string]badnet.Profile) badnet.Profile {
		if backend == "" {
			clear(own)
			return p
		}
		own[backend] = p
		return n.all
	}, p)
}

// Reset makes the network good again for "", and otherwise gives the backend the
// profile of the others.
func (n *Network) Reset(ctx context.Context, backend string) error {
	return n.change(ctx, backend, func(own map[string]badnet.Profile) badnet.Profile {
		if backend == "" {
			clear(own)
			return badnet.Profile{}
		}
		delete(own, backend)
		return n.all
	}, badnet.Profile{})
}

// change applies what edit makes of the profiles and calibrates the changed one.
// It undoes the change where the calibration fails.
func (n *Network) change(ctx context.Context, backend string, edit func(map[string]badnet.Profile) badnet.Profile, changed badnet.Profile) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err // the caller left while it waited for its turn
	}
	if backend != "" && !slices.Contains(n.backends, backend) {
		return fmt.Errorf("%w %q: use %s", badnet.ErrBackend, backend, strings.Join(n.backends, ", "))
	}
	own := make(map[string]badnet.Profile, len(n.own)+1)
	for name, p := range n.own {
		own[name] = p
	}
	all := edit(own)
	if err := n.apply(all, own, changed); err != nil {
		return err
	}
	measured, err := n.attachment.way().Calibrate(ctx, changed)
	if err != nil {
		return errors.Join(err, n.apply(n.all, n.own, n.all))
	}
	n.all, n.own = all, own
	n.store(backend, changed, measured)
	return nil
}

// apply gives every backend its profile, and the probes theirs.
func (n *Network) apply(all badnet.Profile, own map[string]badnet.Profile, probes badnet.Profile) error {
	each := make(map[string]badnet.Profile, len(n.backends))
	for _, name := range n.backends {
		each[name] = all
		if p, ok := own[name]; ok {
			each[name] = p
		}
	}
	return n.attachment.apply(probes, each)
}

// store stores the state after a change.
func (n *Network) store(backend string, changed badnet.Profile, measured *badnet.Calibration) {
	old := n.made // only a change, which holds mu, makes another
	s := &badnet.State{Path: old.Path, Why: n.why, Backends: map[string]badnet.Path{}}
	for name := range n.own {
		s.Backends[name] = old.Backends[name]
	}
	path := n.path(changed, measured)
	if backend == "" {
		s.Path = path
	} else if _, ok := n.own[backend]; ok {
		s.Backends[backend] = path
	}
	n.tell(s)
}

func (n *Network) path(p badnet.Profile, measured *badnet.Calibration) badnet.Path {
	return badnet.Path{Driver: n.driver, Profile: p.String(), RoundTrip: probe.Millis(p.RoundTrip()), Calibration: measured}
}

// Direct returns the address that leads to a server without the bad network, "" for
// the server's own: for observers, such as the reader of the process list.
func (n *Network) Direct(network, addr string) (dial string, err error) {
	if m, ok := n.attachment.(*packets); ok {
		dial, _, err := m.relayTo(network, addr)
		return dial, err
	}
	return "", nil
}

// Record writes a log of the packets to and from the backends, and not of the calibrations, until
// ctx is done. It must come after the last Attach.
func (n *Network) Record(ctx context.Context, to io.Writer) error {
	if err := n.State().Unseen(); err != nil {
		return err
	}
	p := n.attachment.(*packets)
	h := netlog.Header{Profile: n.State().Together().Profile, Driver: n.driver, Seed: n.seed, Started: time.Now()}
	log, err := netlog.New(to, h, badnet.Profile{}) // the driver tells of the profile
	if err != nil {
		return err
	}
	stop := p.driver.(badnet.Watchable).Watch(log, slices.Collect(maps.Values(p.ports))...)
	<-ctx.Done()
	stop()
	return log.Close()
}

// Close makes the network good again.
func (n *Network) Close() error {
	err := n.attachment.close()
	n.parts.Wait()
	close(n.failed)
	return err
}
