package main

import (
	"net"
	"net/netip"
	"os"
	"strings"

	"gotimeout/handlers"
	"gotimeout/internal/sockets"
)

// kernel tells the handlers what the kernel keeps of the bench's connections.
type kernel struct {
	parts  []*part
	before sockets.Counters
}

// newKernel returns nil where the system doesn't show its sockets.
func newKernel(parts []*part) handlers.Kernel {
	before, err := sockets.Count()
	if err != nil {
		return nil
	}
	return &kernel{parts, before}
}

func (k *kernel) Known(local, remote netip.AddrPort) (bool, error) {
	return sockets.Known(local, remote)
}

// Sockets counts, in one look at all of them.
func (k *kernel) Sockets(names []string) (*handlers.Sockets, error) {
	now, err := sockets.Count()
	if err != nil {
		return nil, err
	}
	s := &handlers.Sockets{Backends: []handlers.BackendSockets{}, Counters: now.Sub(k.before), Settings: settingsOfTCP()}
	of := map[uint16]*handlers.BackendSockets{}
	for _, name := range names {
		for _, p := range k.parts {
			if p.name == name {
				s.Backends = append(s.Backends, handlers.BackendSockets{
					Name: name, Addr: p.dialled, Client: map[string]int{}, Server: map[string]int{},
				})
			}
		}
	}
	for i := range s.Backends {
		of[port(s.Backends[i].Addr)] = &s.Backends[i]
	}
	return s, sockets.Each(sockets.All, func(one sockets.Socket) {
		if b := of[one.Remote.Port()]; b != nil {
			b.Client[one.State.String()]++
		}
		if b := of[one.Local.Port()]; b != nil {
			b.Server[one.State.String()]++
		}
	})
}

// port is that of a backend, which tells its connections from others: its host
// may be a name, and any of its addresses.
func port(addr string) uint16 {
	_, text, _ := net.SplitHostPort(addr)
	if n, err := net.LookupPort("tcp", text); err == nil {
		return uint16(n)
	}
	return 0
}

// settingsOfTCP are those that decide what stays in TIME-WAIT, and how much of
// it there can be.
func settingsOfTCP() map[string]string {
	all := map[string]string{}
	for _, name := range []string{"tcp_tw_reuse", "tcp_fin_timeout", "tcp_max_tw_buckets", "ip_local_port_range"} {
		if text, err := os.ReadFile("/proc/sys/net/ipv4/" + name); err == nil {
			all[name] = strings.Join(strings.Fields(string(text)), "-")
		}
	}
	return all
}
