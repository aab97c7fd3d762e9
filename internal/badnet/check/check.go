package check

import (
	"context"
	"errors"
	"strings"
	"time"

	"gotimeout/internal/badnet"
	"gotimeout/internal/badnet/drivers"
	"gotimeout/internal/badnet/probe"
	"gotimeout/internal/badnet/proxy"
)

// Check is a measured network: what its profile asks for beside what was measured.
type Check struct {
	Driver, Why string
	Profile     badnet.Profile
	Figures     []Figure
}

// Outside says in a sentence which figures are outside their tolerance, "" for
// none.
func (c *Check) Outside() string {
	var wrong []string
	for _, f := range c.Figures {
		if f.Verdict() == Outside {
			wrong = append(wrong, f.wrong())
		}
	}
	if len(wrong) == 0 {
		return ""
	}
	return "the " + c.Driver + " driver did not do what was asked: " + strings.Join(wrong, "; ")
}

// measurement is what was measured, before it is judged.
type measurement struct {
	proxied      bool // by proxy, which has no packets
	dials, trips sample
	six          struct{ dials, trips sample } // over ::1; none is sent where there is no ::1
	up, down     way
}

// sample is the times of the probes that came back, sorted.
type sample struct {
	sent  int
	times []time.Duration
}

// way is one direction.
type way struct {
	packets counts
	rate    rateTest
}

// Packets measures all that the loopback's profile says. No other program may use
// the loopback meanwhile.
func Packets(ctx context.Context, l *drivers.Loopback) (*Check, error) {
	e, err := probe.NewEcho(1) // the loopback's own ports have queues of their own
	if err != nil {
		return nil, err
	}
	defer e.Close()
	echo6 := ""
	if six, err := probe.NewEchoAt("::1", 1); err == nil {
		defer six.Close()
		echo6 = six.Addr()
	}
	p := l.Profile
	p.Up.Rate, p.Down.Rate = p.Up.MeanRate(), p.Down.MeanRate()
	m, err := measurePackets(ctx, e.Addr(), echo6, p)
	if err != nil {
		return nil, err
	}
	return &Check{l.Driver, l.Why, l.Profile, judge(p, m)}, nil
}

// varies is the note of a figure that a trace makes another at each time.
const varies = "a trace's rate varies"

func measurePackets(ctx context.Context, echo, echo6 string, p badnet.Profile) (m measurement, err error) {
	s := scheduleOf(p)
	if m.dials, m.trips, err = times(ctx, echo, s); err != nil {
		return m, err
	}
	if echo6 != "" {
		if m.six.dials, m.six.trips, err = times(ctx, echo6, s.over6(p)); err != nil {
			return m, err
		}
	}
	for _, d := range []struct {
		link badnet.Link
		way  *way
		up   bool
	}{{p.Up, &m.up, true}, {p.Down, &m.down, false}} {
		if d.way.packets, err = stream(ctx, d.link, d.up); err != nil {
			return m, err
		}
		switch {
		case d.link.Arrives() == 0:
		case d.link.Rate > 0:
			d.way.rate, err = testPackets(ctx, d.link, d.up)
		case back(p) > 0:
			d.way.rate, err = overPackets(ctx, p, d.up)
		}
		if err != nil {
			return m, err
		}
	}
	if ctx.Err() != nil {
		return m, errInterrupted
	}
	return m, nil
}

// times measures the dials and the round trips of an echo.
func times(ctx context.Context, echo string, s schedule) (d, t sample, err error) {
	d = dials(ctx, echo, s)
	t, err = trips(ctx, "udp", echo, s)
	return d, t, err
}

var errInterrupted = errors.New("the check was interrupted before all was measured: run it again")

// back is the share of the probes that come back.
func back(p badnet.Profile) float64 { return p.Up.Arrives() * p.Down.Arrives() }

// Proxy measures a profile by the proxy driver. It returns badnet.ErrCannot where a
// proxy can't do the profile.
func Proxy(ctx context.Context, p badnet.Profile, why string) (check *Check, err error) {
	if err := proxy.Check(p); err != nil {
		return nil, err
	}
	e, err := probe.NewEcho(1)
	if err != nil {
		return nil, err
	}
	defer e.Close()
	proxies := proxy.New()
	defer func() { err = errors.Join(err, proxies.Close()) }()
	front := func(name, addr string) (string, error) {
		addr, err := proxies.Attach(name, addr)
		if err != nil {
			return "", err
		}
		return addr, proxies.Apply(name, p)
	}
	measured, err := measureProxy(ctx, e.Addr(), p, front)
	if err != nil {
		return nil, err
	}
	return &Check{badnet.Proxy, why, p, judge(p, measured)}, nil
}

// measureProxy measures proxies that front puts in front of servers.
func measureProxy(ctx context.Context, echo string, p badnet.Profile, front func(name, addr string) (string, error)) (got measurement, err error) {
	if echo, err = front("echo", echo); err != nil {
		return got, err
	}
	got.proxied = true
	s := scheduleOf(p)
	got.dials = dials(ctx, echo, s)
	if got.trips, err = trips(ctx, "tcp", echo, s); err != nil {
		return got, err
	}
	for _, d := range []struct {
		name string
		link badnet.Link
		rate *rateTest
		up   bool
	}{{"check up", p.Up, &got.up.rate, true}, {"check down", p.Down, &got.down.rate, false}} {
		window, warmUp := 300*time.Millisecond, time.Duration(0)
		if d.link.Rate > 0 { // bytes come in pieces, and a busy machine begins late
			window, warmUp = time.Second+lasts(2*fullPacket, d.link.Rate), 200*time.Millisecond
		}
		*d.rate, err = transfer{
			up: d.up, patience: 3*time.Second + p.RoundTrip(), warmUp: warmUp, window: window,
			front: func(addr string) (string, error) { return front(d.name, addr) },
		}.measure(ctx)
		if err != nil {
			return got, err
		}
	}
	if ctx.Err() != nil {
		return got, errInterrupted
	}
	return got, nil
}
