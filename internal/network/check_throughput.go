package network

import (
	"context"
	"fmt"
	"net"
	"sync"
	"time"

	"gotimeout/internal/badnet"
)

// transfer is one TCP connection with as much to carry as it can.
type transfer struct {
	up       bool
	patience time.Duration // until the first bytes arrive
	window   time.Duration // from then on
	front    func(addr string) (string, error)
}

// overPackets measures TCP where each of its packets takes the delay: it needs
// some round trips to get up to speed.
func overPackets(ctx context.Context, p badnet.Profile, up bool) (blast, error) {
	if p.RoundTrip() > 500*time.Millisecond {
		return blast{}, nil
	}
	return transfer{
		up: up, patience: 3 * time.Second, window: 300*time.Millisecond + 4*p.RoundTrip(),
		front: func(addr string) (string, error) { return addr, nil },
	}.measure(ctx)
}

// measure measures what gets through. The way to the server is what front makes
// of its address.
func (t transfer) measure(ctx context.Context) (blast, error) {
	ctx, cancel := context.WithTimeout(ctx, t.patience+t.window)
	defer cancel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return blast{}, err
	}
	defer l.Close()
	addr, err := t.front(l.Addr().String())
	if err != nil {
		return blast{}, err
	}
	client, server, err := connect(ctx, l, addr)
	if err != nil {
		return blast{note: "no connection came about"}, nil
	}
	from, to := client, server
	if !t.up {
		from, to = server, client
	}
	var sender sync.WaitGroup
	defer sender.Wait()
	defer reset(client)
	defer reset(server)
	sender.Go(func() {
		for b := make([]byte, 1<<16); ; {
			if _, err := from.Write(b); err != nil {
				return
			}
		}
	})
	defer context.AfterFunc(ctx, func() { reset(to) })()
	return t.arrivals(to), nil
}

// connect returns both ends of a connection to a listener by way of addr.
func connect(ctx context.Context, l net.Listener, addr string) (client, server net.Conn, err error) {
	if client, err = new(net.Dialer).DialContext(ctx, "tcp", addr); err != nil {
		return nil, nil, err
	}
	deadline, _ := ctx.Deadline()
	_ = l.(*net.TCPListener).SetDeadline(deadline)
	if server, err = l.Accept(); err != nil {
		reset(client)
	}
	return client, server, err
}

// arrivals measures the rate of what arrives, from the first bytes on and
// without them.
func (t transfer) arrivals(conn net.Conn) blast {
	b := make([]byte, 1<<18)
	_ = conn.SetReadDeadline(time.Now().Add(t.patience))
	if _, err := conn.Read(b); err != nil {
		return blast{note: fmt.Sprintf("nothing came within %s", t.patience)}
	}
	first := time.Now()
	last, bytes := first, 0
	_ = conn.SetReadDeadline(first.Add(t.window))
	for {
		n, err := conn.Read(b)
		if err != nil {
			break
		}
		bytes += n
		last = time.Now()
	}
	r := blast{between: last.Sub(first)}
	if bytes > 0 {
		r.bits = float64(bytes) * 8 / r.between.Seconds()
	}
	return r
}
