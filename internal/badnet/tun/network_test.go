package tun

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"gotimeout/internal/badnet"
)

const ms = time.Millisecond

var start = time.Unix(1000, 0)

func profile(t *testing.T, text string) badnet.Profile {
	t.Helper()
	p, err := badnet.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// releases says when each packet comes out.
func releases(n *network) string {
	var lines []string
	for {
		at, ok := n.queue.Next()
		if !ok {
			return strings.Join(lines, " ")
		}
		b, _ := n.queue.Pop(at)
		lines = append(lines, fmt.Sprintf("%d@%s", b[24], at.Sub(start)))
	}
}

func sendAt(n *network, after time.Duration, mark byte, src, dst uint16, flags byte) bool {
	b := frame(tcp, src, dst, flags, 40)
	b[24] = mark
	return n.send(start.Add(after), b, 0)
}

// Each direction and each server's port has its own, to the nanosecond.
func TestNetworkPlan(t *testing.T) {
	n := newNetwork(1)
	n.set(badnet.Plan{All: profile(t, "up.delay=10ms down.delay=20ms"), Ports: map[uint16]badnet.Profile{
		3306: profile(t, "delay=1s"), 80: profile(t, "none"),
	}})
	for i, want := range []bool{
		sendAt(n, 0, 1, 40000, 50000, syn),
		sendAt(n, ms, 2, 50000, 40000, synAck),
		sendAt(n, 2*ms, 3, 40001, 3306, syn),
		sendAt(n, 3*ms, 4, 3306, 40001, synAck),
	} {
		if want {
			t.Errorf("packet %d comes out at once", i)
		}
	}
	if !sendAt(n, 4*ms, 5, 40002, 80, syn) {
		t.Error("a packet on a good path is held")
	}
	if got, want := releases(n), "1@10ms 2@21ms 3@1.002s 4@1.003s"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got, want := n.totals(), (badnet.Totals{Packets: 5}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

// A packet that comes out at once waits for one that is due.
func TestNetworkKeepsOrder(t *testing.T) {
	n := newNetwork(1)
	n.set(badnet.Plan{All: profile(t, "delay=10ms")})
	sendAt(n, 0, 1, 40000, 80, syn)
	n.set(badnet.Plan{})
	if sendAt(n, 10*ms, 2, 40000, 80, ack) {
		t.Error("it overtakes what is due now")
	}
	if got, want := releases(n), "1@10ms 2@10ms"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	sendAt(n, 20*ms, 3, 40000, 80, ack)
	if _, held := n.queue.Next(); held {
		t.Error("it is held behind nothing")
	}
}

// The same seed loses the same packets, another one others, and a port others
// than its neighbour.
func TestNetworkSeed(t *testing.T) {
	lost := func(seed uint64, port uint16) string {
		n := newNetwork(seed)
		lossy := profile(t, "loss=50%")
		n.set(badnet.Plan{Ports: map[uint16]badnet.Profile{port: lossy}})
		var b strings.Builder
		for range 64 {
			fmt.Fprint(&b, map[bool]int{true: 1}[sendAt(n, 0, 0, 40000, port, syn)])
		}
		return b.String()
	}
	if a, b := lost(1, 80), lost(1, 80); a != b {
		t.Errorf("%s and then %s", a, b)
	}
	if a, b := lost(1, 80), lost(2, 80); a == b {
		t.Errorf("two seeds lose %s", a)
	}
	if a, b := lost(1, 80), lost(1, 81); a == b {
		t.Errorf("two ports lose %s", a)
	}
}

func TestNetworkTotalsOutliveThePlan(t *testing.T) {
	n := newNetwork(1)
	n.set(badnet.Plan{All: profile(t, "blackhole")})
	for range 3 {
		sendAt(n, 0, 0, 40000, 80, syn)
	}
	n.set(badnet.Plan{})
	sendAt(n, 0, 0, 40000, 80, syn)
	if got, want := n.totals(), (badnet.Totals{Packets: 4, Dropped: 3}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestLarge(t *testing.T) {
	for text, want := range map[string]bool{
		"none": true, "delay=1s jitter=10ms": true, "loss=1%": false, "up.rate=1mbit": false,
		"down.duplicate=1%": false, "delay=1ms reorder=1%": false,
	} {
		p := profile(t, text)
		if got := large(badnet.Plan{All: p}); got != want {
			t.Errorf("%s: %t", text, got)
		}
		if got := large(badnet.Plan{Ports: map[uint16]badnet.Profile{1: p}}); got != want {
			t.Errorf("%s on a port: %t", text, got)
		}
	}
}
