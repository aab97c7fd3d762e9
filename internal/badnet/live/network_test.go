package live

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"gotimeout/internal/badnet"
	"gotimeout/internal/badnet/netlog"
	"gotimeout/internal/badnet/probe"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeAttachment is a network that stays perfect, whatever profile is applied.
type fakeAttachment struct {
	*probe.Echo
	applied string
	err     error
	part    badnet.Mortal
}

func (m *fakeAttachment) attach(_, _, addr string, _ bool) (string, badnet.Mortal, error) {
	return addr, m.part, nil
}

func (m *fakeAttachment) apply(probes badnet.Profile, backends map[string]badnet.Profile) error {
	if m.err != nil {
		return m.err
	}
	m.applied = fmt.Sprint(probes, backends)
	return nil
}

func (m *fakeAttachment) way() probe.Way { return probe.Way{Driver: "fake", Addr: m.Addr()} }
func (m *fakeAttachment) close() error   { m.Echo.Close(); return nil }

func fake(t *testing.T) (*Network, *fakeAttachment) {
	t.Helper()
	e, err := probe.NewEcho(1)
	if err != nil {
		t.Fatal(err)
	}
	m := &fakeAttachment{Echo: e}
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

// A profile without an effect is an error, and the network keeps its profile.
func TestDriverThatDidNotTake(t *testing.T) {
	n, m := fake(t)
	for text, want := range map[string]string{
		"delay=50ms": `the fake driver did not take: with "delay=50ms" no probe is back within 97ms, but one took`,
		"blackhole":  `the fake driver did not take: "loss=100%" loses everything, but `,
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

// A change of one backend leaves the others as they are, and a change of all backends
// replaces each profile.
func TestProfilesOfBackends(t *testing.T) {
	n, m := fake(t)
	lossy, limited := profile(t, "loss=1%"), profile(t, "limit=7") // so few probes notice neither
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

// A caller that leaves while it waits for another change has changed nothing.
func TestCallersWhoLeft(t *testing.T) {
	n, m := fake(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := n.Set(ctx, "", profile(t, "lossy")); !errors.Is(err, context.Canceled) || m.applied != "" {
		t.Errorf("%v, and %s was applied", err, m.applied)
	}
}

// part is a part of a network that may fail.
type part chan error

func (p part) Failed() <-chan error { return p }

// A part that ends by an error is told in the state of its backend, or of all of them, until the end, whatever changes.
func TestLostPart(t *testing.T) {
	n, m := fake(t)
	db, all := make(part, 1), make(part, 1)
	m.part = db
	if _, err := n.Attach("db2", "tcp", "127.0.0.1:1", false); err != nil {
		t.Fatal(err)
	}
	n.watch("", all)
	defer close(all)
	defer close(db)
	errors := func() string {
		s := n.State()
		return fmt.Sprintf("%q %q %q", s.Ended, s.Of("db2").Ended, s.Of("http").Ended)
	}
	if got, want := errors(), `"" "" ""`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	db <- fmt.Errorf("no listener")
	if err := <-n.Failed(); err.Error() != "no listener" {
		t.Error(err)
	}
	lossy := profile(t, "loss=1%") // so few probes notice nothing
	if err := n.Set(t.Context(), "db2", lossy); err != nil {
		t.Fatal(err)
	}
	if got, want := errors(), `"" "no listener" ""`; got != want || n.State().Of("db2").Profile != "loss=1%" || n.State().Of("http").Profile != "none" {
		t.Errorf("%s, want %s: %+v", got, want, n.State())
	}
	all <- fmt.Errorf("no device")
	if err := <-n.Failed(); err.Error() != "no device" {
		t.Error(err)
	}
	if got, want := errors(), `"no device" "no device" "no device"`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if err := n.Reset(t.Context(), ""); err != nil {
		t.Fatal(err)
	}
	if got, want := errors(), `"no device" "no device" "no device"`; got != want {
		t.Errorf("after a reset: %s, want %s", got, want)
	}
}

// shown is a driver that shows a packet at once to each Watcher.
type shown struct {
	badnet.Driver
	ports    []uint16 // that are watched
	watchers int
}

func (s *shown) Watch(by badnet.Watcher, ports ...uint16) (stop func()) {
	s.watchers++
	s.ports = slices.Sorted(slices.Values(ports))
	by.Changed(badnet.Profile{Up: badnet.Link{Rate: 1e6}})
	by.Sent(badnet.Packet{At: time.Now(), Up: true, Data: make([]byte, 40)})
	return func() { s.watchers-- }
}

// A log is of the backends' ports, with the rate that the driver tells of, and its watch ends with the context.
func TestRecord(t *testing.T) {
	d := &shown{}
	n := newNetwork(badnet.TUN, "it is a test", &packets{driver: d, ports: map[string]uint16{}})
	n.seed = 7
	for name, addr := range map[string]string{"db": "127.0.0.1:3306", "http": "127.0.0.1:80"} {
		if _, err := n.Attach(name, "tcp", addr, false); err != nil {
			t.Fatal(err)
		}
	}
	from, to := io.Pipe()
	ctx, cancel := context.WithCancel(t.Context())
	over := make(chan error)
	go func() {
		err := n.Record(ctx, to)
		to.Close()
		over <- err
	}()
	lines := make([]byte, 1<<12)
	size, err := io.ReadAtLeast(from, lines, 200) // the first line, and more
	if err != nil {
		t.Fatal(err)
	}
	watched := d.watchers
	cancel()
	rest, err := io.ReadAll(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := <-over; err != nil || watched != 1 || d.watchers != 0 || !slices.Equal(d.ports, []uint16{80, 3306}) {
		t.Errorf("%v: %d watched %d, and now %d do", err, watched, d.ports, d.watchers)
	}
	r, err := netlog.Read(io.MultiReader(strings.NewReader(string(lines[:size])), strings.NewReader(string(rest))))
	if err != nil || r.Profile != "none" || r.Seed != 7 || r.Driver != "tun" {
		t.Fatalf("%+v, %v", r, err)
	}
	if up := r.Buckets[0].Up; up.SentBytes != 40 || *up.Rate != 1e6 {
		t.Errorf("%+v", up)
	}
}

// A network without packets has no log.
func TestRecordRefuses(t *testing.T) {
	n, _ := fake(t)
	if err := n.Record(t.Context(), io.Discard); !errors.Is(err, badnet.ErrCannot) || err.Error() != "the fake driver shows no packets: start the lab with --network-driver tun" {
		t.Error(err)
	}
}
