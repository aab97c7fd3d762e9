package probe

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"gotimeout/internal/badnet"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func profile(t *testing.T, text string) badnet.Profile {
	t.Helper()
	p, err := badnet.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestJudge(t *testing.T) {
	const ms = time.Millisecond
	for _, test := range []struct {
		profile string
		trips   []time.Duration
		want    string
	}{
		{"delay=50ms", []time.Duration{97 * ms, 100 * ms}, ""},
		{"delay=50ms", []time.Duration{96 * ms, 100 * ms}, "no probe is back within 97ms, but one took 96ms"},
		{"delay=50ms", []time.Duration{500 * ms}, ""}, // a late probe is shown, but the machine may have delayed it
		{"delay=50ms", nil, "none of 20 probes came back"},
		{"delay=10s", nil, ""}, // no probe can be back within the second
		{"delay=50ms jitter=50ms", []time.Duration{0}, ""},
		{"delay=50ms jitter=10ms", []time.Duration{70 * ms}, "no probe is back within"},
		{"delay=50ms jitter=5ms,normal", []time.Duration{60 * ms}, ""},
		{"delay=50ms reorder=10%", []time.Duration{0}, ""},
		{"loss=90%", nil, ""},
		{"loss=5%", nil, "none of 20 probes came back"},
		{"loss=50%,burst=100", nil, ""},
		{"up.loss=100%", nil, ""},
		{"up.loss=100%", []time.Duration{ms}, "loses everything, but 1 of 20 probes came back"},
	} {
		err := Way{}.expect(profile(t, test.profile)).judge(test.trips)
		if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s with %v: %v, want %q", test.profile, test.trips, err, test.want)
		}
	}
}

// The probes use a small share of a slow link, and end within the budget.
func TestProbesOfASlowLink(t *testing.T) {
	for text, want := range map[string]int{"none": 20, "rate=1mbit": 20, "rate=56kbit": 2, "rate=1kbit": 1} {
		e := Way{}.expect(profile(t, text))
		if e.probes != want {
			t.Errorf("%s: %d probes, %s apart; want %d", text, e.probes, e.gap, want)
		}
	}
}

// tired fails to accept a few times, as a listener does when too many files are open.
type tired struct {
	net.Listener
	failures int
}

func (l *tired) Accept() (net.Conn, error) {
	if l.failures--; l.failures >= 0 {
		return nil, syscall.EMFILE
	}
	return nil, net.ErrClosed
}

func TestAcceptGoesOn(t *testing.T) {
	l := &tired{failures: 3}
	if _, err := Accept(l); !errors.Is(err, net.ErrClosed) || l.failures != -1 {
		t.Errorf("%v with %d failures left", err, l.failures)
	}
}

// network is a UDP port in front of an Echo that delays and loses packets as a profile
// says. Until open it holds all of them.
func network(t *testing.T, e *Echo, text string, seed uint64, open time.Time) (port uint16) {
	t.Helper()
	p := profile(t, text)
	front, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	back, err := net.Dial("udp4", e.Addr())
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	t.Cleanup(func() { front.Close(); back.Close(); all.Wait() })
	var client atomic.Pointer[net.UDPAddr]
	carry := func(l badnet.Link, seed uint64, read func(b []byte) (int, error), write func(b []byte)) {
		shaper := badnet.NewShaper(l, seed)
		for {
			b := make([]byte, Size)
			n, err := read(b)
			if err != nil {
				return
			}
			for _, at := range shaper.Send(nil, time.Now(), Packet) {
				all.Add(1)
				if at.Before(open) {
					at = open
				}
				time.AfterFunc(time.Until(at), func() { defer all.Done(); write(b[:n]) })
			}
		}
	}
	all.Go(func() {
		carry(p.Up, seed, func(b []byte) (int, error) {
			n, from, err := front.ReadFromUDP(b)
			client.Store(from)
			return n, err
		}, func(b []byte) { _, _ = back.Write(b) })
	})
	all.Go(func() {
		carry(p.Down, seed+1, back.Read, func(b []byte) { _, _ = front.WriteToUDP(b, client.Load()) })
	})
	return uint16(front.LocalAddr().(*net.UDPAddr).Port)
}

// Under jitter the calibration measures the delay, and not how long probes wait for
// each other.
func TestCalibrateUnderJitter(t *testing.T) {
	const text = "delay=100ms jitter=30ms,normal"
	e := echo(t)
	way := Way{Driver: "test", Addr: e.Addr()}
	for i := range Lanes {
		way.Apart = append(way.Apart, network(t, e, text, uint64(2*i), time.Time{}))
	}
	var seen []string
	for range 3 { // a pause of the machine may lose probes
		began := time.Now()
		c, err := way.Calibrate(t.Context(), profile(t, text))
		if err != nil {
			t.Fatal(err)
		}
		took := time.Since(began)
		if c.Lost <= c.Sent/2 && *c.RoundTripP50 >= 180 && *c.RoundTripP50 <= 255 && took < 30*time.Second { // 20 probes in a row: 275
			return
		}
		seen = append(seen, fmt.Sprintf("%g ms for 200, %d of %d probes lost, in %s", *c.RoundTripP50, c.Lost, c.Sent, took))
	}
	t.Errorf("%q", seen)
}

// The machine stops for longer than a measurement takes: the driver has not failed.
func TestCalibrateWhileTheMachineStandsStill(t *testing.T) {
	const text = "delay=10ms"
	e := echo(t)
	port := network(t, e, text, 1, time.Now().Add(budget+100*time.Millisecond))
	way := Way{Driver: "test", Addr: net.JoinHostPort("127.0.0.1", strconv.Itoa(int(port)))}
	c, err := way.Calibrate(t.Context(), profile(t, text))
	if err != nil {
		t.Fatal(err)
	}
	if *c.RoundTripP50 < 20 || *c.RoundTripP50 > 500 { // the first probe that came back took at least 600 ms
		t.Errorf("%g ms for 20", *c.RoundTripP50)
	}
}

func echo(t *testing.T) *Echo {
	t.Helper()
	e, err := NewEcho(1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	return e
}
