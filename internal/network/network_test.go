package network

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"gotimeout/internal/badnet"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeMedium is a network that stays good, whatever it is told.
type fakeMedium struct {
	*echo
	applied string
	err     error
}

func (m *fakeMedium) attach(_, _, addr string, _ bool) (string, error) { return addr, nil }

func (m *fakeMedium) apply(probes badnet.Profile, backends map[string]badnet.Profile) error {
	if m.err != nil {
		return m.err
	}
	m.applied = fmt.Sprint(probes, backends)
	return nil
}

func (m *fakeMedium) probe() string { return m.addr() }
func (m *fakeMedium) close() error  { m.echo.close(); return nil }

func fake(t *testing.T) (*Network, *fakeMedium) {
	t.Helper()
	e, err := newEcho()
	if err != nil {
		t.Fatal(err)
	}
	m := &fakeMedium{echo: e}
	n := newNetwork("fake", "it is a test", m)
	t.Cleanup(func() { _ = n.Close() })
	for _, name := range []string{"http", "db"} {
		if _, err := n.Attach(name, "tcp", "127.0.0.1:1", false); err != nil {
			t.Fatal(err)
		}
	}
	return n, m
}

func profile(t *testing.T, text string) badnet.Profile {
	t.Helper()
	p, err := badnet.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// A driver that did not take is an error, and nothing has changed.
func TestDriverThatDidNotTake(t *testing.T) {
	n, m := fake(t)
	for text, want := range map[string]string{
		"delay=50ms": `the fake driver did not take: with "delay=50ms" no probe is back within 97ms, but one took`,
		"blackhole":  `the fake driver did not take: "loss=100%" loses everything, but 20 of 20 probes came back`,
	} {
		if err := n.Set(t.Context(), "", profile(t, text)); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
		if s := n.State(); s.Profile != "none" || m.applied != fmt.Sprint(badnet.Profile{}, map[string]badnet.Profile{"http": {}, "db": {}}) {
			t.Errorf("%s: the network is %s, and %s was applied", text, s.Profile, m.applied)
		}
	}
}

func TestDriverThatFails(t *testing.T) {
	n, m := fake(t)
	m.err = errors.New("the kernel said no")
	if err := n.Set(t.Context(), "", badnet.Profile{}); !errors.Is(err, m.err) {
		t.Errorf("%v", err)
	}
	if err := n.Set(t.Context(), "cache", badnet.Profile{}); !errors.Is(err, badnet.ErrBackend) || !strings.HasSuffix(err.Error(), `"cache": use http, db`) {
		t.Errorf("%v", err)
	}
}

// One backend's own stays when it is alone to change, and goes with a change of
// all.
func TestProfilesOfBackends(t *testing.T) {
	n, m := fake(t)
	lossy, limited := profile(t, "loss=1%"), profile(t, "limit=7") // neither is seen by so few probes
	step := func(what string, err error, all, db string) {
		t.Helper()
		s := n.State()
		if err != nil || s.Profile != all || s.Of("db").Profile != db || s.Of("http").Profile != all {
			t.Errorf("%s: %v, %s, db %s; want %s, %s", what, err, s.Profile, s.Of("db").Profile, all, db)
		}
		if c := s.Of("db").Calibration; c == nil || c.Sent == 0 {
			t.Errorf("%s: the calibration is %+v", what, c)
		}
	}
	step("all", n.Set(t.Context(), "", lossy), "loss=1%", "loss=1%")
	step("db", n.Set(t.Context(), "db", limited), "loss=1%", "limit=7")
	if want := fmt.Sprint(limited, map[string]badnet.Profile{"http": lossy, "db": limited}); m.applied != want {
		t.Errorf("applied %s, want %s", m.applied, want)
	}
	step("db again", n.Reset(t.Context(), "db"), "loss=1%", "loss=1%")
	step("db once more", n.Set(t.Context(), "db", limited), "loss=1%", "limit=7")
	step("reset", n.Reset(t.Context(), ""), "none", "none")
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
		{"delay=50ms", []time.Duration{500 * ms}, ""}, // late is shown, and may be the machine
		{"delay=50ms", nil, "none of 20 probes came back"},
		{"delay=10s", nil, ""}, // in a second none can
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
		err := expectations(profile(t, test.profile)).judge(test.trips)
		if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s with %v: %v, want %q", test.profile, test.trips, err, test.want)
		}
	}
}

// Probes are a small part of a slow link, and done within the budget.
func TestProbesOfASlowLink(t *testing.T) {
	for text, want := range map[string]int{"none": 20, "rate=1mbit": 20, "rate=56kbit": 2, "rate=1kbit": 1} {
		e := expectations(profile(t, text))
		if e.probes != want {
			t.Errorf("%s: %d probes, %s apart; want %d", text, e.probes, e.gap, want)
		}
	}
}

// tired fails to accept a few times, as where too many files are open.
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
	if _, err := accept(l); !errors.Is(err, net.ErrClosed) || l.failures != -1 {
		t.Errorf("%v with %d failures to go", err, l.failures)
	}
}

// Who leaves while others change the network has changed nothing.
func TestCallersWhoLeft(t *testing.T) {
	n, m := fake(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := n.Set(ctx, "", profile(t, "lossy")); !errors.Is(err, context.Canceled) || m.applied != "" {
		t.Errorf("%v, and %s was applied", err, m.applied)
	}
}
