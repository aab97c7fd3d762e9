package probe

import (
	"errors"
	"net"
	"strings"
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
	if _, err := Accept(l); !errors.Is(err, net.ErrClosed) || l.failures != -1 {
		t.Errorf("%v with %d failures to go", err, l.failures)
	}
}
