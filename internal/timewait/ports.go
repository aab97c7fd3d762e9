package timewait

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"gotimeout/internal/prose"
	"gotimeout/internal/sockets"
)

// The sizes of the range of ports for clients, and the settings.
const (
	narrow      = 50
	wide        = 200
	portSetting = "ip_local_port_range"
	reuse       = "tcp_tw_reuse"
)

// otherAddress is an address of this machine that is not 127.0.0.0/8 (RFC 5737).
const otherAddress = "192.0.2.1"

// scarce is a network with few ports.
type scarce struct {
	*lab
	first, second, third, elsewhere *server // elsewhere has otherAddress
	web                             *httpServer
	from                            int // the first of the ports for clients
}

// ports uses up the ports to a server, and then tries each remedy.
func ports(ctx context.Context, l *lab) error {
	remove, err := addAddress(otherAddress)
	if err != nil {
		return err
	}
	defer remove()
	s := scarce{lab: l}
	defer s.close()
	if err := s.open(ctx); err != nil { // before the ports are scarce
		return err
	}
	undo, err := set(portSetting, s.portRange(narrow), reuse, "0")
	if err != nil {
		return err
	}
	defer undo()
	began := time.Now()
	for _, step := range []func(context.Context) error{
		s.exhaust, s.pooling, s.wider, s.moreServers, s.moreSources, s.twReuse, s.recycle, s.boundSources,
	} {
		if err := step(ctx); err != nil {
			return err
		}
		if took := time.Since(began); took >= timeWaitLength {
			return fmt.Errorf("this machine is too busy: TIME-WAITs end after %.0f s, and the steps so far took %.0f s", timeWaitLength.Seconds(), took.Seconds())
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

// portRange is the setting for a range of n ports.
func (s *scarce) portRange(n int) string { return fmt.Sprintf("%d %d", s.from, s.from+n-1) }

// unused returns the first of n ports that no socket has, below the ports that the kernel chooses by default.
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

// filled is the outcome of connecting until there is no port.
type filled struct {
	opened   int
	noMore   error // why there are no more; nil where the limit was reached first
	timeWait int   // at the client, with earlier ones
}

func (f filled) String() string {
	if f.noMore == nil {
		return prose.Count(f.opened, "connection") + ", and there are still ports"
	}
	return fmt.Sprintf("%s, then %v", prose.Count(f.opened, "connection"), f.noMore)
}

// fill opens and closes connections to a server until there is no port, or most connections are opened.
func fill(ctx context.Context, d net.Dialer, to *server, most int) (f filled, err error) {
	for ; f.opened < most && f.noMore == nil; f.opened++ {
		conn, err := dial(ctx, d, to.addr)
		if noPort(err) {
			f.noMore = reason(err)
			break
		}
		if err != nil {
			return f, err
		}
		conn.Close()
	}
	conns, err := settled(ctx, to.port)
	f.timeWait = count(conns.client, sockets.TimeWait)
	return f, err
}

// noPort returns whether a dial failed for want of a port: EADDRNOTAVAIL is connect's error, and EADDRINUSE is bind's, where the
// source address is given.
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

// exhaust shows the problem that the remedies are for.
func (s *scarce) exhaust(ctx context.Context) error {
	f, err := fill(ctx, net.Dialer{}, s.first, 2*wide)
	if err != nil {
		return err
	}
	s.step(Step{
		Did:      fmt.Sprintf("connected to one server until it failed: %d ports, tcp_tw_reuse=0", narrow),
		Expected: fmt.Sprintf("%d connections, then %v", narrow, syscall.EADDRNOTAVAIL),
		Saw:      fmt.Sprintf("%s; %d in TIME-WAIT", f, f.timeWait),
		OK:       f.opened == narrow && errors.Is(f.noMore, syscall.EADDRNOTAVAIL) && f.timeWait == narrow,
		Why:      "A connection is two addresses and two ports. From one address to one server only the client's port can differ, and a TIME-WAIT keeps that port for a minute.",
		Command:  "ss -Htan state time-wait | wc -l; sysctl net.ipv4." + portSetting,
		Figures:  Figures{Opened: &f.opened, Ports: new(narrow), ClientTimeWait: &f.timeWait, TWReuse: new(0)},
	})
	return nil
}

// pooling makes many more requests than there are ports, over few connections.
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
		Saw:      fmt.Sprintf("%d answered, by %s", answered.Load(), prose.Count(opened, "connection")),
		OK:       answered.Load() == requests && opened < narrow,
		Why:      "This remedy removes the cause: a connection that is used again leaves no TIME-WAIT, and saves the handshake too.",
		Figures:  Figures{Requests: new(requests), Opened: &opened, Ideal: &ideal, Ports: new(narrow), TWReuse: new(0)},
	})
	return nil
}

// remedy is a remedy by which more connections can be made to a server.
type remedy struct {
	did, why string
	dialer   net.Dialer
	to       *server
	ports    int // in the range for clients
	more     int // connections that are expected
}

func (s *scarce) try(ctx context.Context, r remedy) error {
	f, err := fill(ctx, r.dialer, r.to, 2*wide)
	if err != nil {
		return err
	}
	s.step(Step{
		Did:      r.did,
		Expected: fmt.Sprintf("%d more, then none", r.more),
		Saw:      f.String(),
		OK:       f.opened == r.more && f.noMore != nil,
		Why:      r.why,
		Figures:  Figures{Opened: &f.opened, Ports: &r.ports, ClientTimeWait: &f.timeWait, TWReuse: new(0)},
	})
	return nil
}

func (s *scarce) wider(ctx context.Context) error {
	undo, err := set(portSetting, s.portRange(wide))
	if err != nil {
		return err
	}
	defer undo()
	return s.try(ctx, remedy{
		did: fmt.Sprintf("a wider range: %d ports", wide),
		why: "It moves the limit, and the cause stays. The widest range is 1024 to 65535: a thousand connections a second to one server use it up in about a minute.",
		to:  s.first, ports: wide, more: wide - narrow,
	})
}

func (s *scarce) moreSources(ctx context.Context) error {
	return s.try(ctx, remedy{
		did:    "another source address, 127.0.0.2, with IP_BIND_ADDRESS_NO_PORT",
		why:    "The address is bound, and connect chooses the port, because connect knows the other end: each address of the client has the whole range for each server.",
		dialer: net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}, Control: bindNoPort()},
		to:     s.first, ports: narrow, more: narrow,
	})
}

// boundSources comes last: for a minute nobody else can use the ports of the range.
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
		Saw:      fmt.Sprintf("%s; to a new server: %s", f, others),
		OK:       f.opened == narrow && f.noMore != nil && others.opened == 0,
		Why:      "Go lets bind choose the port. bind does not know the other end, and connect never shares a port that was bound: so the dialer takes the port from all other connections too.",
		Figures:  Figures{Opened: &f.opened, Ports: new(narrow), ClientTimeWait: &f.timeWait, TWReuse: new(0)},
	})
	return nil
}

func (s *scarce) moreServers(ctx context.Context) error {
	return s.try(ctx, remedy{
		did: "another port of the server",
		why: "The same ports of the client can be used again for another server: only connections to the first server are out of ports.",
		to:  s.second, ports: narrow, more: narrow,
	})
}

// reusableAfter is longer than the second for which no TIME-WAIT can be reused.
const reusableAfter = 1500 * time.Millisecond

// twReuse tries each value of tcp_tw_reuse, to a server on 127.0.0.1 and to one on another address, to which all ports are in
// TIME-WAIT.
func (s *scarce) twReuse(ctx context.Context) error {
	if _, err := fill(ctx, net.Dialer{}, s.elsewhere, 2*wide); err != nil {
		return err
	}
	for value, c := range []struct {
		loopback, other bool
		why             string
	}{
		{false, false, "A port in TIME-WAIT stays taken for its whole minute."},
		{true, true, "A client may reuse a TIME-WAIT that is a second old: TCP's timestamps tell the old connection's segments from the new one's. It helps the end that connects, and no server."},
		{true, false, "The default: reuse on loopback alone. On a developer's machine, where every address is loopback, it hides the shortage that production meets."},
	} {
		if err := s.tryReuse(ctx, value, c.loopback, c.other, c.why); err != nil {
			return err
		}
	}
	return nil
}

// tryReuse tries a value, for longer than the second that a TIME-WAIT must be old.
func (s *scarce) tryReuse(ctx context.Context, value int, loopback, other bool, why string) error {
	undo, err := set(reuse, fmt.Sprint(value))
	if err != nil {
		return err
	}
	defer undo()
	before, err := sockets.Count()
	if err != nil {
		return err
	}
	var saw [2]bool
	for i, to := range []*server{s.first, s.elsewhere} {
		if saw[i], err = connects(ctx, to, []bool{loopback, other}[i]); err != nil {
			return err
		}
	}
	after, err := sockets.Count()
	reused := int(after.Sub(before).TimeWaitReuse)
	s.step(Step{
		Did:      fmt.Sprintf("tcp_tw_reuse=%d, to 127.0.0.1 and to %s", value, otherAddress),
		Expected: outcome(loopback) + ", " + outcome(other),
		Saw:      fmt.Sprintf("%s, %s; %s taken again", outcome(saw[0]), outcome(saw[1]), prose.Count(reused, "TIME-WAIT")),
		OK:       saw == [2]bool{loopback, other} && (reused > 0) == (loopback || other),
		Why:      why,
		Figures:  Figures{Ports: new(narrow), TWReuse: &value, Reused: &reused},
	})
	return err
}

func outcome(connected bool) string {
	if connected {
		return "connected"
	}
	return fmt.Sprint(syscall.EADDRNOTAVAIL)
}

// connects tries to connect: until it succeeds where it should, and otherwise for longer than the second that a TIME-WAIT must be old.
func connects(ctx context.Context, to *server, should bool) (did bool, err error) {
	bound := patience
	if !should {
		bound = reusableAfter
	}
	err = until(ctx, bound, func() (bool, error) {
		f, err := fill(ctx, net.Dialer{}, to, 1)
		did = f.opened > 0
		return did, err
	})
	return did, err
}

// recycle looks for a setting that old advice names.
func (s *scarce) recycle(context.Context) error {
	_, err := sockets.Setting("tcp_tw_recycle")
	has := err == nil
	saw := "there is none"
	if has {
		saw = "there is one"
	}
	s.step(Step{
		Did:      "tcp_tw_recycle: looked for the setting",
		Expected: "there is none", Saw: saw, OK: !has,
		Why:     "Linux 4.12 removed it in 2017, because it dropped connections of clients behind one NAT: advice that names it is older.",
		Command: "sysctl net.ipv4.tcp_tw_recycle",
	})
	return nil
}
