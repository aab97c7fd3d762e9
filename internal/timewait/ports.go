package timewait

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"syscall"

	"gotimeout/internal/sockets"
)

// The ports for clients, and the settings.
const (
	narrow      = 50
	wide        = 200
	portSetting = "ip_local_port_range"
	reuse       = "tcp_tw_reuse"
)

// otherAddress is one that is this machine's and yet no loopback's (RFC 5737).
const otherAddress = "192.0.2.1"

// scarce is a network with few ports.
type scarce struct {
	*lab
	first, second, third, elsewhere *server // the last on the other address
	web                             *httpServer
	from                            int // the first of the ports for clients
}

// ports uses up the ports to a server, and then tries what helps.
func ports(ctx context.Context, l *lab) error {
	remove, err := addAddress(otherAddress)
	if err != nil {
		return err
	}
	defer remove()
	s := scarce{lab: l}
	defer s.close()
	if err := s.open(ctx); err != nil { // while there are ports
		return err
	}
	undo, err := set(portSetting, s.ports(narrow), reuse, "0")
	if err != nil {
		return err
	}
	defer undo()
	for _, step := range []func(context.Context) error{
		s.exhaust, s.pooling, s.wider, s.moreServers, s.moreSources, s.twReuse, s.recycle, s.boundSources,
	} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (s *scarce) open(ctx context.Context) (err error) {
	for _, one := range []struct {
		to *(*server)
		ip string
	}{{&s.first, "127.0.0.1"}, {&s.second, "127.0.0.1"}, {&s.third, "127.0.0.1"}, {&s.elsewhere, otherAddress}} {
		if *one.to, err = serve(ctx, one.ip, nil, discard); err != nil {
			return err
		}
	}
	if s.web, err = serveHTTP(ctx, func(http.ResponseWriter, *http.Request) {}); err != nil {
		return err
	}
	s.from, err = unused(wide)
	return err
}

// ports is the setting of a range of so many.
func (s *scarce) ports(n int) string { return fmt.Sprintf("%d %d", s.from, s.from+n-1) }

// unused returns the first of n ports that no socket has, below those that the
// kernel gives without being asked.
func unused(n int) (from int, err error) {
	used := map[int]bool{}
	if err := sockets.Each(sockets.All, func(s sockets.Socket) { used[int(s.Local.Port())/n] = true }); err != nil {
		return 0, err
	}
	for from := 10_000 / n * n; from < 30_000; from += n {
		if !used[from/n] {
			return from, nil
		}
	}
	return 0, errors.New("no range of ports is free of earlier connections")
}

func (s *scarce) close() {
	for _, one := range []*server{s.first, s.second, s.third, s.elsewhere} {
		if one != nil {
			one.close()
		}
	}
	if s.web != nil {
		s.web.close()
	}
}

// discard reads until the client has closed.
func discard(conn *net.TCPConn) { _, _ = io.Copy(io.Discard, conn) }

// filled is what came of connections made until there was no port.
type filled struct {
	opened   int
	none     error // why there are no more
	timeWait int   // at the client, with those that were there before
}

func (f filled) says() string {
	if f.none == nil {
		return plural(f.opened, "connection") + ", and still ports"
	}
	return fmt.Sprintf("%s, then %v", plural(f.opened, "connection"), f.none)
}

// fill opens and closes connections to a server until there is no port, or there
// are so many.
func fill(ctx context.Context, d net.Dialer, to *server, most int) (f filled, err error) {
	for ; f.opened < most && f.none == nil; f.opened++ {
		conn, err := dial(ctx, d, to.addr)
		if noPort(err) {
			f.none = reason(err)
			break
		}
		if err != nil {
			return f, err
		}
		conn.Close()
	}
	e, err := settled(ctx, to.port)
	f.timeWait = count(e.client, sockets.TimeWait)
	return f, err
}

// noPort tells whether a dial failed for want of a port: connect says it so, and
// bind so, which comes before it where the source address is given.
func noPort(err error) bool {
	return errors.Is(err, syscall.EADDRNOTAVAIL) || errors.Is(err, syscall.EADDRINUSE)
}

// reason is the error without the addresses.
func reason(err error) error {
	var op *net.OpError
	if errors.As(err, &op) {
		return op.Err
	}
	return err
}

// exhaust is what the remedies are for.
func (s *scarce) exhaust(ctx context.Context) error {
	f, err := fill(ctx, net.Dialer{}, s.first, 2*wide)
	if err != nil {
		return err
	}
	s.step(Step{
		Did:      fmt.Sprintf("connected to one server until it failed: %d ports, tcp_tw_reuse=0", narrow),
		Expected: fmt.Sprintf("%d connections, then %v", narrow, syscall.EADDRNOTAVAIL),
		Saw:      fmt.Sprintf("%s; %d in TIME-WAIT", f.says(), f.timeWait),
		OK:       f.opened == narrow && errors.Is(f.none, syscall.EADDRNOTAVAIL) && f.timeWait == narrow,
		Why:      "A connection is two addresses and two ports: to one server from one address only the client's port can differ, and a TIME-WAIT keeps it for a minute.",
		Command:  "ss -Htan state time-wait | wc -l; sysctl net.ipv4." + portSetting,
		Figures:  Figures{Opened: &f.opened, Ports: number(narrow), ClientTimeWait: &f.timeWait, TWReuse: number(0)},
	})
	return nil
}
