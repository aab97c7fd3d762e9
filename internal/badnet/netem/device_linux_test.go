package netem_test

import (
	"os/exec"
	"strings"
	"testing"

	"gotimeout/internal/badnet"
	"gotimeout/internal/badnet/netem"
)

var settable = []string{
	"none", "delay=100ms", "delay=1.5s", "delay=640us", "lossy", "blackhole", "satellite", "4g", "flaky-wifi", "cross-region",
	"delay=100ms jitter=10ms", "delay=100ms jitter=10ms,normal", "delay=100ms jitter=10ms,pareto",
	"loss=33.3%", "loss=5%,burst=7", "rate=1600bit", "rate=1000gbit limit=10", "rate=10kbit delay=100ms limit=7",
	"delay=10ms reorder=25% duplicate=0.1%", "loss=5% duplicate=10%", "delay=1m rate=100gbit",
}

// The tc commands of a profile make the same qdiscs as Set.
func TestSetIsWhatTCDoes(t *testing.T) {
	open(t).Close()
	if _, err := exec.LookPath("tc"); err != nil {
		lacks(t, "no tc (of iproute2) to compare with: %v", err)
	}
	for _, profile := range settable {
		l := parse(t, profile).Up
		set(t, l)
		ours := tc(t, "tc qdisc show dev lo")
		reset(t)
		commands, err := netem.Set("lo", l, true)
		if err != nil {
			t.Fatal(err)
		}
		tc(t, strings.Join(commands, "\n"))
		if theirs := tc(t, "tc qdisc show dev lo"); theirs != ours {
			t.Errorf("%s: %s\nmakes %swant  %s", profile, commands, theirs, ours)
		}
		reset(t)
	}
}

// Set replaces one profile by another.
func TestSetAgain(t *testing.T) {
	open(t).Close()
	for _, profile := range settable {
		want := parse(t, profile).Up
		commands := set(t, want)
		all, err := netem.List()
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range all {
			if r.Dev == "lo" && (r.Link == nil || *r.Link != want) {
				t.Errorf("List says %+v, want %+v", r.Link, want)
			}
		}
		if second := profile != settable[0]; (len(commands) == 2) != second {
			t.Errorf("%s: %q", profile, commands)
		}
	}
	reset(t)
	if got := roots(t); got != "" {
		t.Errorf("lo still has %q", got)
	}
	if commands, err := netem.Reset("lo"); err != nil || commands != nil {
		t.Errorf("a second Reset: %q, %v", commands, err)
	}
}

func set(t *testing.T, l badnet.Link) []string {
	t.Helper()
	commands, err := netem.Set("lo", l, false)
	if err != nil {
		t.Fatal(err)
	}
	return commands
}

func reset(t *testing.T) {
	t.Helper()
	if commands, err := netem.Reset("lo"); err != nil || len(commands) != 1 {
		t.Fatalf("Reset: %q, %v", commands, err)
	}
}

func tc(t *testing.T, script string) string {
	t.Helper()
	out, err := exec.Command("sh", "-ec", script).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v: %s", script, err, out)
	}
	return string(out)
}
