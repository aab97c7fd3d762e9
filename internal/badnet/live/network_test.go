package live

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"gotimeout/internal/badnet"
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
