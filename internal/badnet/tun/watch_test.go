package tun

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"gotimeout/internal/badnet"
)

// notes writes down what a Watcher sees.
type notes []string

func (n *notes) Sent(p badnet.Packet) { n.note("sent", p) }

func (n *notes) Delivered(p badnet.Packet) { n.note("delivered after "+p.Delay.String(), p) }

func (n *notes) Changed(p badnet.Profile) { *n = append(*n, "changed to "+p.String()) }

func (n *notes) note(what string, p badnet.Packet) {
	way := "down"
	if p.Up {
		way = "up"
	}
	*n = append(*n, fmt.Sprintf("%s@%s %d %s, %d lost, %d wait", way, p.At.Sub(start), p.Data[24], what, p.Counters.Lost, p.Queued))
}

// A Watcher sees each packet as it was sent and as it is delivered, but for the ports with
// a profile of their own, and the packets themselves are as without it.
func TestWatch(t *testing.T) {
	var seen notes
	n := newNetwork(1)
	n.watched(&seen, nil)
	n.set(badnet.Plan{All: profile(t, "up.rate=320kbit down.delay=5ms"), Ports: map[uint16]badnet.Profile{7: {}}})
	sendAt(n, 0, 1, 40000, 80, syn)
	sendAt(n, 0, 2, 40000, 80, ack)
	sendAt(n, 0, 3, 80, 40000, synAck)
	sendAt(n, 0, 4, 40000, 7, syn)
	leaveAll(t, n)
	n.set(badnet.Plan{})
	if !sendAt(n, 500*ms, 6, 40000, 80, ack) {
		t.Error("a packet that is due at once is held")
	}
	n.set(badnet.Plan{All: profile(t, "blackhole")})
	sendAt(n, time.Second, 5, 40000, 80, ack)
	got := strings.Join(seen, "\n")
	want := []string{
		"changed to none",
		"changed to down.delay=5ms up.rate=320kbit",
		"up@0s 1 sent, 0 lost, 1 wait",
		"up@0s 2 sent, 0 lost, 2 wait",
		"down@0s 3 sent, 0 lost, 0 wait",
		"up@1ms 1 delivered after 1ms, 0 lost, 1 wait",
		"up@2ms 2 delivered after 2ms, 0 lost, 0 wait",
		"down@5ms 3 delivered after 5ms, 0 lost, 0 wait",
		"changed to none",
		"up@500ms 6 sent, 0 lost, 0 wait",
		"up@500ms 6 delivered after 0s, 0 lost, 0 wait",
		"changed to loss=100%",
		"up@1s 5 sent, 1 lost, 0 wait",
	}
	if got != strings.Join(want, "\n") {
		t.Errorf("got\n%s", got)
	}
}

// leaveAll has the held packets leave at their times.
func leaveAll(t *testing.T, n *network) {
	t.Helper()
	for at, ok := n.next(); ok; at, ok = n.next() {
		b, ok := n.pop(at)
		if !ok {
			continue
		}
		if left := n.leave(at, b); len(left) != 40 {
			t.Errorf("%d bytes left", len(left))
		}
	}
}

// A watch begins and ends while packets are held, and is of some ports alone: it sums their drops since its begin, and the
// packets that wait.
func TestWatchOfPorts(t *testing.T) {
	n := newNetwork(1)
	slow, lossy := profile(t, "delay=5ms rate=320kbit"), profile(t, "blackhole")
	n.set(badnet.Plan{Ports: map[uint16]badnet.Profile{80: slow, 81: lossy, 82: slow, 7: slow}})
	sendAt(n, 0, 1, 40000, 81, syn)
	sendAt(n, 0, 2, 40000, 80, syn)
	var both, one notes
	first := n.watched(&both, []uint16{80, 81, 82})
	sendAt(n, ms, 3, 40000, 81, ack)
	sendAt(n, ms, 4, 40001, 82, syn)
	sendAt(n, ms, 5, 40002, 80, syn)
	sendAt(n, ms, 6, 40003, 7, syn)
	sendAt(n, ms, 7, 40003, 50000, syn)
	second := n.watched(&one, []uint16{80, 82})
	leaveAll(t, n)
	n.unwatched(first)
	n.set(badnet.Plan{Ports: map[uint16]badnet.Profile{80: lossy, 82: lossy}})
	sendAt(n, time.Second, 8, 40000, 80, ack)
	n.unwatched(second)
	sendAt(n, time.Second, 9, 40000, 80, ack)
	for got, want := range map[*notes][]string{
		&both: {
			"changed to none",
			"up@1ms 3 sent, 1 lost, 0 wait",
			"up@1ms 4 sent, 1 lost, 1 wait",
			"up@1ms 5 sent, 1 lost, 2 wait",
			"up@6ms 2 delivered after 6ms, 1 lost, 0 wait",
			"up@7ms 4 delivered after 6ms, 1 lost, 0 wait",
			"up@7ms 5 delivered after 6ms, 1 lost, 0 wait",
		},
		&one: {
			"changed to delay=5ms rate=320kbit",
			"up@6ms 2 delivered after 6ms, 0 lost, 0 wait",
			"up@7ms 4 delivered after 6ms, 0 lost, 0 wait",
			"up@7ms 5 delivered after 6ms, 0 lost, 0 wait",
			"changed to loss=100%",
			"up@1s 8 sent, 1 lost, 0 wait",
		},
	} {
		if g, w := strings.Join(*got, "\n"), strings.Join(want, "\n"); g != w {
			t.Errorf("got\n%s\nwant\n%s", g, w)
		}
	}
}

// What a Watcher adds to a packet is not sent, and changes no checksum.
func TestWatchLeavesThePacket(t *testing.T) {
	packets := func(watched bool) (all [][]byte) {
		n := newNetwork(3)
		if watched {
			n.watched(new(notes), nil)
		}
		n.set(badnet.Plan{All: profile(t, "delay=1ms corrupt=50%")})
		for i := range 20 {
			header := make([]byte, vnet)
			header[0], header[6], header[8] = 1, 20, 16 // the checksum is left to the device
			n.send(start, append(header, frame(tcp, 40000, 80, syn, 40+i)...), vnet)
		}
		for range 20 {
			b, _ := n.queue.Pop(start.Add(time.Hour))
			all = append(all, n.leave(start, b))
		}
		return all
	}
	plain, watched := packets(false), packets(true)
	for i := range plain {
		if !bytes.Equal(plain[i], watched[i]) {
			t.Errorf("packet %d is %x, and watched %x", i, plain[i], watched[i])
		}
	}
}

// BenchmarkSend is the way of a packet through the network, without a Watcher.
func BenchmarkSend(b *testing.B) {
	n := newNetwork(1)
	p, err := badnet.Parse("delay=1ms")
	if err != nil {
		b.Fatal(err)
	}
	n.set(badnet.Plan{All: p})
	packet, now := frame(tcp, 40000, 80, ack, 1500), start
	b.ReportAllocs()
	for b.Loop() {
		now = now.Add(time.Microsecond)
		n.send(now, packet, 0)
		for f, ok := n.queue.Pop(now); ok; f, ok = n.queue.Pop(now) {
			n.leave(now, f)
		}
	}
}
