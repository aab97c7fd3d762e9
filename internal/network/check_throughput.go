package network

import (
	"context"
	"fmt"
	"net"
	"sync"
	"time"

	"gotimeout/internal/badnet"
)

// slow is a round trip with which TCP takes too long to get up to speed.
const slow = 500 * time.Millisecond

// throughput measures what one TCP connection gets through one way. The way to
// the server is what front makes of its address.
func throughput(ctx context.Context, p badnet.Profile, up bool, front func(addr string) (string, error)) (blast, error) {
	if p.RoundTrip() > slow {
		return blast{note: fmt.Sprintf("TCP takes long to speed up with a round trip of %s", p.RoundTrip())}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return blast{}, err
	}
	defer l.Close()
	addr, err := front(l.Addr().String())
	if err != nil {
		return blast{}, err
	}
	client, server, err := connect(ctx, l, addr)
	if err != nil {
		return blast{note: "no connection came about"}, nil
	}
	from, to := client, server
	if !up {
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
	window := 300*time.Millisecond + 4*p.RoundTrip()
	if p.Up.Rate+p.Down.Rate > 0 { // a proxy's, in lumps
		window = 1200 * time.Millisecond
	}
	return arrivals(to, window), nil
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
func arrivals(conn net.Conn, window time.Duration) blast {
	b := make([]byte, 1<<18)
	_ = conn.SetReadDeadline(time.Now().Add(3 * time.Second))
	if _, err := conn.Read(b); err != nil {
		return blast{note: "nothing came within 3 s"}
	}
	first := time.Now()
	last, bytes := first, 0
	_ = conn.SetReadDeadline(first.Add(window))
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
