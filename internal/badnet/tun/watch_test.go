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
	if err := n.setWatch(&seen); err != nil {
		t.Fatal(err)
	}
	n.watch.epoch = start
	n.set(badnet.Plan{All: profile(t, "up.rate=320kbit down.delay=5ms"), Ports: map[uint16]badnet.Profile{7: {}}})
	sendAt(n, 0, 1, 40000, 80, syn)
	sendAt(n, 0, 2, 40000, 80, ack)
	sendAt(n, 0, 3, 80, 40000, synAck)
	if sendAt(n, 0, 4, 40000, 7, syn) {
		t.Error("a packet left without being seen")
	}
	for at, ok := n.next(); ok; at, ok = n.next() {
		b, ok := n.pop(at)
		if !ok {
			continue
		}
		if left := n.leave(at, b); len(left) != 40 {
			t.Errorf("%d bytes left", len(left))
		}
	}
	n.set(badnet.Plan{All: profile(t, "blackhole")})
	sendAt(n, time.Second, 5, 40000, 80, ack)
	got := strings.Join(seen, "\n")
	want := []string{
		"changed to down.delay=5ms up.rate=320kbit",
		"up@0s 1 sent, 0 lost, 1 wait",
		"up@0s 2 sent, 0 lost, 2 wait",
		"down@0s 3 sent, 0 lost, 0 wait",
		"up@1ms 1 delivered after 1ms, 0 lost, 1 wait",
		"up@2ms 2 delivered after 2ms, 0 lost, 0 wait",
		"down@5ms 3 delivered after 5ms, 0 lost, 0 wait",
		"changed to loss=100%",
		"up@1s 5 sent, 1 lost, 0 wait",
	}
	if got != strings.Join(want, "\n") {
		t.Errorf("got\n%s", got)
	}
	if n.setWatch(&seen) == nil {
		t.Error("a second Watcher is taken")
	}
}

// What a Watcher adds to a packet is not sent, and changes no checksum.
func TestWatchLeavesThePacket(t *testing.T) {
	packets := func(watched bool) (all [][]byte) {
		n := newNetwork(3)
		if watched {
			if err := n.setWatch(new(notes)); err != nil {
				t.Fatal(err)
			}
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
