//go:build linux

package timewait

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"gotimeout/internal/badnet/private/privatetest"
	"gotimeout/strategies"
)

// refused is the reason why the system allows no private network, or nil.
var refused error

// TestMain runs the tests in a private network, where the system allows one.
func TestMain(m *testing.M) {
	refused = privatetest.Enter()
	goleak.VerifyTestMain(m, goleak.IgnoreCurrent())
}

// stepsOf runs the short form of an experiment, and returns its steps.
func stepsOf(t *testing.T, name string) []Step {
	t.Helper()
	if refused != nil {
		t.Skip(refused)
	}
	i := slices.IndexFunc(All(), func(e Experiment) bool { return e.Name == name })
	var steps []Step
	if err := All()[i].Run(t.Context(), true, func(s Step) { steps = append(steps, s) }); err != nil {
		t.Fatal(err)
	}
	for _, s := range steps {
		if !s.OK {
			t.Errorf("%s: saw %q, want %q", s.Did, s.Saw, s.Expected)
		}
		for _, text := range []string{s.Experiment, s.Did, s.Saw, s.Expected, s.Why} {
			if text == "" {
				t.Errorf("a text is missing: %+v", s)
			}
		}
		if !strings.HasSuffix(s.Why, ".") {
			t.Errorf("%q is no sentence", s.Why)
		}
	}
	return steps
}

// checkSaw checks that the steps of an experiment saw what every run sees: want has for
// each step the parts of its text, separated by |.
func checkSaw(t *testing.T, name string, want ...string) {
	t.Helper()
	steps := stepsOf(t, name)
	if len(steps) != len(want) {
		t.Fatalf("%d steps, want %d", len(steps), len(want))
	}
	for i, s := range steps {
		for _, part := range strings.Split(want[i], "|") {
			if !strings.Contains(s.Saw, part) {
				t.Errorf("%s: saw %q, want %q in it", s.Did, s.Saw, part)
			}
		}
	}
}

func TestWho(t *testing.T) {
	checkSaw(t, "who", "client 127.0.0.1:| TIME-WAIT, server 127.0.0.1:| gone", " gone, server | TIME-WAIT", " TIME-WAIT, server | TIME-WAIT")
}

func TestHowLong(t *testing.T) { checkSaw(t, "how-long", "still there after ") }

func TestPorts(t *testing.T) {
	const none, taken = "cannot assign requested address", "address already in use"
	checkSaw(t, "ports", "50 connections, then|"+none+"|50 in TIME-WAIT", "500 answered", "150 connections, then|"+none,
		"50 connections, then|"+none, "50 connections, then|"+none,
		none+", "+none+"; 0 TIME-WAITs", "connected, connected; ", "connected, "+none+"; ",
		"there is none", "50 connections, then|"+taken+"|to a new server: 0 connections, then|"+none)
}

func TestRestart(t *testing.T) {
	const taken = "address already in use"
	checkSaw(t, "restart", taken, "it listens", taken)
}

func TestLinger(t *testing.T) {
	checkSaw(t, "linger", "65536 of 65536 bytes arrived, then EOF; 1 TIME-WAIT, 0 RST", "connection reset by peer; 0 TIME-WAIT")
}

func TestMyth(t *testing.T) { checkSaw(t, "myth", " RST", " RST", " TIME-WAIT at the client") }

// A cancelled experiment ends at once, and restores the settings.
func TestInterrupted(t *testing.T) {
	if refused != nil {
		t.Skip(refused)
	}
	before := settings(t)
	for _, e := range All() {
		// The context is cancelled, as by a signal. With a deadline the dialer of net
		// would set one on the socket too, and the socket's error may come first.
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(20*time.Millisecond, cancel)
		began := time.Now()
		err := e.Run(ctx, false, func(Step) {})
		cancel()
		if err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("%v", err)
		}
		if took := time.Since(began); took > 30*time.Second {
			t.Errorf("%s went on for %s", e.Name, took)
		}
		if after := settings(t); after != before {
			t.Errorf("%s: the settings are %s, were %s", e.Name, after, before)
		}
	}
}

func settings(t *testing.T) (all string) {
	t.Helper()
	for _, name := range []string{portSetting, reuse, "tcp_fin_timeout", "tcp_rfc1337"} {
		text, err := os.ReadFile("/proc/sys/net/ipv4/" + name)
		if err != nil {
			t.Fatal(err)
		}
		all += name + "=" + strings.TrimSpace(string(text)) + " "
	}
	return all
}

func TestChurn(t *testing.T) {
	rows := map[string]Step{}
	for _, s := range stepsOf(t, "churn") {
		rows[s.Did] = s
	}
	clients := len(rows)
	for _, s := range strategies.All() {
		_, ok := rows["strategy "+s.Name]
		if want := s.Outside == strategies.InProcess && s.Suits("http"); ok != want {
			t.Errorf("%s was tried: %t, want %t", s.Name, ok, want)
		} else if ok {
			clients--
		}
	}
	if got := clients; got != 6 {
		t.Errorf("%d clients of net/http, want 6", got)
	}
	if *rows["2 idle connections, the default"].Opened <= *rows["enough idle connections"].Opened {
		t.Error("2 idle connections were enough")
	}
}

// The cost of a client meets the expectation of that client, and not the expectation of another.
func TestExpectations(t *testing.T) {
	ld := load{requests: 200, workers: 10}
	for name, c := range map[string]struct {
		client churnClient
		good   cost
		bad    map[string]cost
	}{
		"waits": {churnClient{expected: allWait}, cost{ld, 200, 5, 195, 200, 0, 0, 10}, map[string]cost{
			"reused": {ld, 10, 0, 0, 0, 0, 0, 10}, "resets": {ld, 200, 0, 0, 0, 200, 0, 10}}},
		"churns": {churnClient{expected: allButTwoWait}, cost{ld, 160, 158, 0, 158, 0, 0, 10}, map[string]cost{
			"reused": {ld, 10, 0, 0, 0, 0, 0, 10}, "the server closes": {ld, 160, 0, 158, 158, 0, 0, 10}}},
		"resets": {churnClient{expected: allReset}, cost{ld, 200, 0, 0, 0, 206, 0, 10}, map[string]cost{
			"waits": {ld, 200, 200, 0, 200, 0, 0, 10}, "reused": {ld, 10, 0, 0, 0, 0, 0, 10}}},
		"reused": {churnClient{expected: allPooled}, cost{ld, 11, 0, 0, 0, 0, 0, 10}, map[string]cost{
			"churns": {ld, 160, 158, 0, 158, 0, 0, 10}, "a reset": {ld, 10, 0, 0, 0, 1, 0, 10}}},
		"calls cut": {churnClient{expected: byCalls}, cost{ld, 200, 3, 0, 3, 197, 200, 10}, map[string]cost{
			"TIME-WAITs": {ld, 200, 197, 0, 197, 3, 200, 10}, "as if uncut": {ld, 10, 0, 0, 0, 0, 200, 10}}},
		"none cut": {churnClient{expected: byCalls}, cost{ld, 40, 0, 0, 0, 0, 0, 30}, map[string]cost{
			"as if cut": {ld, 200, 0, 0, 0, 200, 0, 10}}},
	} {
		t.Run(name, func(t *testing.T) {
			if s := c.client.judge(c.good); !s.OK {
				t.Errorf("%s does not meet %q", s.Saw, s.Expected)
			}
			for what, cost := range c.bad {
				if s := c.client.judge(cost); s.OK {
					t.Errorf("%s: %s meets %q", what, s.Saw, s.Expected)
				} else if strings.TrimSpace(s.Expected) == "" {
					t.Error("nothing was expected")
				}
			}
		})
	}
}
