package timewait

import (
	"context"
	"fmt"
	"net"
	"sync"
	"sync/atomic"

	"gotimeout/internal/sockets"
)

// pooling makes many more requests than there are ports.
func (s *scarce) pooling(ctx context.Context) error {
	const requests, workers = 10 * narrow, 5
	before, err := sockets.Count()
	if err != nil {
		return err
	}
	client := newClient(workers)
	defer client.CloseIdleConnections()
	var all sync.WaitGroup
	var answered atomic.Int64
	for range workers {
		all.Go(func() {
			for range requests / workers {
				if get(ctx, client, s.web.url) == nil {
					answered.Add(1)
				}
			}
		})
	}
	all.Wait()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	after, err := sockets.Count()
	if err != nil {
		return err
	}
	opened, ideal := int(after.Sub(before).Opened), workers
	s.step(Step{
		Did:      fmt.Sprintf("a pool: %d requests by %d workers to another server", requests, workers),
		Expected: "all are answered, by fewer connections than there are ports",
		Saw:      fmt.Sprintf("%d answered, by %s", answered.Load(), plural(opened, "connection")),
		OK:       answered.Load() == requests && opened < narrow,
		Why:      "The remedy that removes the cause: a connection that is used again leaves no TIME-WAIT, and it saves the handshake too.",
		Figures:  Figures{Requests: number(requests), Opened: &opened, Ideal: &ideal, Ports: number(narrow), TWReuse: number(0)},
	})
	return nil
}

// remedy is one that makes connections to a server anew, and how many more.
type remedy struct {
	did, why string
	dialer   net.Dialer
	to       *server
	ports    int
	more     int
}

func (s *scarce) try(ctx context.Context, r remedy) error {
	f, err := fill(ctx, r.dialer, r.to, 2*wide)
	if err != nil {
		return err
	}
	s.step(Step{
		Did:      r.did,
		Expected: fmt.Sprintf("%d more, then none", r.more),
		Saw:      f.says(),
		OK:       f.opened == r.more && f.none != nil,
		Why:      r.why,
		Figures:  Figures{Opened: &f.opened, Ports: &r.ports, ClientTimeWait: &f.timeWait, TWReuse: number(0)},
	})
	return nil
}

func (s *scarce) wider(ctx context.Context) error {
	undo, err := set(portSetting, s.ports(wide))
	if err != nil {
		return err
	}
	defer undo()
	return s.try(ctx, remedy{
		did: fmt.Sprintf("a wider range: %d ports", wide),
		why: "It moves the bound and not the cause. The most is 1024 to 65535: a thousand connections a second to one server use that up within its minute.",
		to:  s.first, ports: wide, more: wide - narrow,
	})
}

func (s *scarce) moreSources(ctx context.Context) error {
	return s.try(ctx, remedy{
		did:    "another source address, 127.0.0.2, with IP_BIND_ADDRESS_NO_PORT",
		why:    "The address is bound, and the port is left to connect, which knows the other end: each address of the client has the whole range to each server.",
		dialer: net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}, Control: bindNoPort()},
		to:     s.first, ports: narrow, more: narrow,
	})
}

// boundSources comes last: for a minute it spoils the range for all others.
func (s *scarce) boundSources(ctx context.Context) error {
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 3)}}
	f, err := fill(ctx, d, s.first, 2*wide)
	if err != nil {
		return err
	}
	others, err := fill(ctx, net.Dialer{}, s.third, 1)
	if err != nil {
		return err
	}
	s.step(Step{
		Did:      "another source address, 127.0.0.3, as net.Dialer's LocalAddr binds it",
		Expected: fmt.Sprintf("%d more, then none; and none to a new server, from any address", narrow),
		Saw:      fmt.Sprintf("%s; to a new server: %s", f.says(), others.says()),
		OK:       f.opened == narrow && f.none != nil && others.opened == 0,
		Why:      "Go lets bind choose the port, which can't know the other end, and connect never shares a port that was bound: the dialer takes it from all the others too.",
		Figures:  Figures{Opened: &f.opened, Ports: number(narrow), ClientTimeWait: &f.timeWait, TWReuse: number(0)},
	})
	return nil
}

func (s *scarce) moreServers(ctx context.Context) error {
	return s.try(ctx, remedy{
		did: "another port of the server",
		why: "The same client ports serve again for each other end: only connections to the one are out of ports.",
		to:  s.second, ports: narrow, more: narrow,
	})
}
