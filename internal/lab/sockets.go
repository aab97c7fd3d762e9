package lab

import (
	"maps"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"gotimeout/internal/sockets"
	"gotimeout/internal/wire"
)

// kernel reads the states of the lab's connections from the kernel.
type kernel struct {
	before sockets.Counters
	list   func() ([]wire.BackendSockets, error)

	mu     sync.Mutex
	listed []wire.BackendSockets
	fresh  time.Time // until then listed is not listed again
}

// newKernel returns nil where the system can't list its sockets.
func newKernel(backends []*backend) *kernel {
	before, err := sockets.Count()
	if err != nil {
		return nil
	}
	return &kernel{before: before, list: func() ([]wire.BackendSockets, error) { return listSockets(backends) }}
}

func (k *kernel) Known(local, remote netip.AddrPort) (bool, error) {
	return sockets.Known(local, remote)
}

// Sockets counts the sockets of the named backends, in one listing.
func (k *kernel) Sockets(names []string) (*wire.Sockets, error) {
	now, err := sockets.Count()
	if err != nil {
		return nil, err
	}
	s := &wire.Sockets{Counters: now.Sub(k.before), Settings: settingsOfTCP(), Backends: []wire.BackendSockets{}}
	all, err := k.backends()
	for _, b := range all {
		if slices.Contains(names, b.Name) {
			s.Backends = append(s.Backends, b)
		}
	}
	return s, err
}

// backends counts the sockets of each backend. A listing is kept for as long as it took, so that
// many who ask cost one processor half its time at most; it must not be changed.
func (k *kernel) backends() ([]wire.BackendSockets, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	began := time.Now()
	if k.listed != nil && began.Before(k.fresh) {
		return k.listed, nil
	}
	listed, err := k.list()
	if err != nil {
		return nil, err
	}
	now := time.Now()
	k.listed, k.fresh = listed, now.Add(now.Sub(began))
	return listed, nil
}

// listSockets counts the sockets of each backend in a new listing.
func listSockets(backends []*backend) ([]wire.BackendSockets, error) {
	all, of := []wire.BackendSockets{}, map[uint16]wire.BackendSockets{}
	for _, p := range backends {
		if port(p.dialed) != 0 { // a Unix socket has no port, and no state of TCP
			b := wire.BackendSockets{Name: p.name, Addr: p.dialed, Client: map[string]int{}, Server: map[string]int{}}
			all, of[port(b.Addr)] = append(all, b), b
		}
	}
	return all, sockets.Each(sockets.Open, func(one sockets.Socket) {
		if b, there := of[one.Remote.Port()]; there {
			b.Client[one.State.String()]++
		}
		if b, there := of[one.Local.Port()]; there {
			b.Server[one.State.String()]++
		}
	})
}

// connections counts the client's ends of the connections to each backend, by state. The two
// most important states are in the result also when they are 0.
func (k *kernel) connections() (map[string]map[string]int, error) {
	backends, err := k.backends()
	if err != nil {
		return nil, err
	}
	states := map[string]map[string]int{}
	for _, b := range backends {
		states[b.Name] = maps.Clone(b.Client)
		for _, always := range []sockets.State{sockets.Established, sockets.TimeWait} {
			states[b.Name][always.String()] += 0
		}
	}
	return states, nil
}

// port returns the port of a backend. It identifies the backend's connections, because the
// host may be a name with several addresses.
func port(addr string) uint16 {
	_, text, err := net.SplitHostPort(addr)
	if err != nil {
		return 0
	}
	if n, err := net.LookupPort("tcp", text); err == nil {
		return uint16(n)
	}
	return 0
}

// settingsOfTCP returns the kernel's settings of TIME-WAIT: which sockets stay in it, and how
// many can.
func settingsOfTCP() map[string]string {
	all := map[string]string{}
	for _, name := range []string{"tcp_tw_reuse", "tcp_fin_timeout", "tcp_max_tw_buckets", "ip_local_port_range"} {
		if value, err := sockets.Setting(name); err == nil {
			all[name] = strings.ReplaceAll(value, " ", "-")
		}
	}
	return all
}
