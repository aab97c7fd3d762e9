package tun

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/bits"
	"slices"
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

// releases returns the time at which each packet is released.
func releases(n *network) string {
	var lines []string
	for {
		at, ok := n.queue.Next()
		if !ok {
			return strings.Join(lines, " ")
		}
		b, _ := n.queue.Pop(at)
		lines = append(lines, fmt.Sprintf("%d@%s", b[stamped+24], at.Sub(start)))
	}
}

func sendAt(n *network, after time.Duration, mark byte, src, dst uint16, flags byte) bool {
	b := frame(tcp, src, dst, flags, 40)
	b[24] = mark
	return n.send(start.Add(after), b, 0)
}

// Each direction and each server port has a link of its own, exact to the nanosecond.
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
			t.Errorf("packet %d is released at once", i)
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

// A packet without a delay waits for an earlier packet that is due.
func TestNetworkKeepsOrder(t *testing.T) {
	n := newNetwork(1)
	n.set(badnet.Plan{All: profile(t, "delay=10ms")})
	sendAt(n, 0, 1, 40000, 80, syn)
	n.set(badnet.Plan{})
	if sendAt(n, 10*ms, 2, 40000, 80, ack) {
		t.Error("the packet overtakes one that is due now")
	}
	if got, want := releases(n), "1@10ms 2@10ms"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	sendAt(n, 20*ms, 3, 40000, 80, ack)
	if _, held := n.queue.Next(); held {
		t.Error("the packet is held behind no other")
	}
}

// The same seed loses the same packets, another seed loses others, and each port loses
// others than its neighbour.
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
		t.Errorf("two seeds lose the same packets: %s", a)
	}
	if a, b := lost(1, 80), lost(1, 81); a == b {
		t.Errorf("two ports lose the same packets: %s", a)
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

// A queue that drops its head holds the packets until their fate is known. A new plan
// releases them.
func TestNetworkQueue(t *testing.T) {
	run := func(n *network) string {
		var lines []string
		for at, ok := n.next(); ok; at, ok = n.next() {
			if b, ok := n.pop(at); ok {
				lines = append(lines, fmt.Sprintf("%d@%s", b[stamped+24], at.Sub(start)))
			}
		}
		return strings.Join(lines, " ")
	}
	plan := badnet.Plan{All: profile(t, "rate=320kbit delay=5ms up.queue=drophead limit=3")} // 1 ms each
	n := newNetwork(1)
	n.set(plan)
	for i := range 5 {
		if sendAt(n, 0, byte(i), 40000, 80, ack) {
			t.Error("a packet is released at once")
		}
	}
	sendAt(n, 0, 9, 80, 40000, ack)
	if got, want := run(n), "0@6ms 9@6ms 3@7ms 4@8ms"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got, want := n.totals(), (badnet.Totals{Packets: 6, Dropped: 2}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	n.set(plan)
	for i := range 3 {
		sendAt(n, time.Second, byte(i), 40000, 80, ack)
	}
	n.set(badnet.Plan{})
	if got, want := run(n), "0@1.006s 1@1.007s 2@1.008s"; got != want {
		t.Errorf("after another plan: got %s, want %s", got, want)
	}
}

// An outage takes both directions at once, from the first packet on: no packet of the
// outage is delivered.
func TestNetworkOutage(t *testing.T) {
	n := newNetwork(1)
	n.set(badnet.Plan{All: profile(t, "outage=1s,every=10s,exponential")})
	delivered, lost := 0, 0
	for i := range 10_000 {
		now := time.Duration(i) * 10 * ms
		up, down := sendAt(n, now, 1, 40000, 80, ack), sendAt(n, now, 2, 80, 40000, ack)
		if up != down {
			t.Fatalf("at %s a packet up is delivered: %t, and one down: %t", now, up, down)
		}
		if up {
			delivered++
		} else {
			lost++
		}
	}
	if delivered == 0 || lost == 0 {
		t.Errorf("%d are delivered, and %d lost", delivered, lost)
	}
	if got, want := n.totals(), (badnet.Totals{Packets: 20_000, Dropped: uint64(2 * lost)}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

// Of a corrupted packet one bit differs from the packet with its whole checksum, and the
// sum over the packet is wrong. The other copy stays whole.
func TestNetworkCorrupts(t *testing.T) {
	n := newNetwork(1)
	n.set(badnet.Plan{All: profile(t, "delay=10ms corrupt=50% duplicate=100%")})
	corrupt, whole := 0, 0
	for range 500 {
		b := append(make([]byte, vnet), frame(udp, 40000, 53, 0, 61)...)
		b[0] = 1 // VIRTIO_NET_HDR_F_NEEDS_CSUM, of UDP behind an IPv4 header
		binary.NativeEndian.PutUint16(b[6:], 20)
		binary.NativeEndian.PutUint16(b[8:], 6)
		copy(b[vnet+30:], "some odd data")
		before := bytes.Clone(b)
		if n.send(start, b, vnet) {
			t.Fatal("the packet is released at once")
		}
		for {
			got, ok := n.queue.Pop(start.Add(10 * ms))
			if !ok {
				break
			}
			if _, got = unstamp(got); bytes.Equal(got, before) {
				whole++
				continue
			}
			corrupt++
			sum := 0
			for i, v := range got[vnet+20:] {
				sum += int(v) << (8 * (1 - i%2))
			}
			headerFlips := 0
			for i, v := range got[vnet : vnet+20] {
				headerFlips += bits.OnesCount8(v ^ before[vnet+i])
			}
			if got[0] != 0 || headerFlips > 1 || (sum%0xffff == 0) != (headerFlips == 1) {
				t.Fatalf("%x is sent as %x", before, got)
			}
		}
		if !bytes.Equal(b, before) {
			t.Fatal("the frame of the caller is changed")
		}
	}
	if corrupt+whole != 1000 || corrupt < 430 || corrupt > 570 {
		t.Errorf("%d corrupted and %d whole packets, want 500 each", corrupt, whole)
	}
	if c := n.all.down.Counters().Corrupted + n.all.up.Counters().Corrupted; c != uint64(corrupt) {
		t.Errorf("%d are counted", c)
	}
}

func TestLarge(t *testing.T) {
	for text, want := range map[string]bool{
		"none": true, "delay=1s jitter=10ms": true, "loss=1%": false, "up.rate=1mbit": false,
		"down.duplicate=1%": false, "corrupt=1%": false, "up.outage=1s,every=9s": false, "delay=1ms reorder=1%": false,
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

// frame returns an IPv4 packet of size bytes.
func frame(proto byte, src, dst uint16, flags byte, size int) []byte {
	b := make([]byte, max(size, 40))
	b[0], b[9] = 0x45, proto
	binary.BigEndian.PutUint16(b[20:], src)
	binary.BigEndian.PutUint16(b[22:], dst)
	b[33] = flags
	return b
}

const (
	syn    = 2
	synAck = 18
	ack    = 16
)

// over6 returns an IPv4 packet as one over IPv6.
func over6(b []byte) []byte {
	six := append(make([]byte, 40), b[20:]...)
	six[0], six[6] = 0x60, b[9]
	if b[9] == icmp {
		six[6], six[40] = icmp6, 128+(8-b[20])/8
	}
	return six
}

func TestDirections(t *testing.T) {
	var d, d6 directions
	for i, step := range []struct {
		what     string
		proto    byte
		src, dst uint16
		flags    byte
		port     uint16
		up       bool
	}{
		{"a client's SYN", tcp, 40000, 50000, syn, 50000, true},
		{"the server's SYN-ACK", tcp, 50000, 40000, synAck, 50000, false},
		{"the client's ACK", tcp, 40000, 50000, ack, 50000, true},
		{"a SYN to a lower port", tcp, 50001, 80, syn, 80, true},
		{"the SYN-ACK from a lower port", tcp, 80, 50001, synAck, 80, false},
		{"a SYN from a port that was a server's", tcp, 50000, 40001, syn, 40001, true},
		{"the SYN-ACK to that port", tcp, 40001, 50000, synAck, 40001, false},
		{"a packet of a connection without a seen SYN", tcp, 45000, 443, ack, 443, true},
		{"the answer on that connection", tcp, 443, 45000, ack, 443, false},
		{"a UDP request", udp, 33000, 34000, 0, 34000, true},
		{"the UDP answer", udp, 34000, 33000, 0, 34000, false},
		{"ping", icmp, 8 << 8, 0, 0, 0, true},
		{"pong", icmp, 0, 0, 0, 0, false},
	} {
		b := frame(step.proto, step.src, step.dst, step.flags, 40)
		for family, of := range map[string]struct {
			directions *directions
			packet     []byte
		}{"IPv4": {&d, b}, "IPv6": {&d6, over6(b)}} {
			p, ok := parse(of.packet)
			if !ok || p.size != len(of.packet) {
				t.Fatalf("%d: %s over %s is malformed: %+v", i, step.what, family, p)
			}
			if port, up := of.directions.of(p); port != step.port || up != step.up {
				t.Errorf("%d: %s over %s: port %d, up %t; want %d, %t", i, step.what, family, port, up, step.port, step.up)
			}
		}
	}
}

// The second fragment has no ports and no type of ICMP, and takes the link of the first.
func TestFragments(t *testing.T) {
	var d directions
	for id, of := range []struct {
		what        string
		proto, six  byte
		first, then uint16 // the ports, or what is there of ICMP
		port        uint16
		up          bool
	}{
		{"a datagram", udp, udp, 33000, 53, 53, true},
		{"ping", icmp, icmp6, 8 << 8, 0, 0, true},
		{"pong", icmp, icmp6, 0, 0, 0, false},
		{"ping again", icmp, icmp6, 8 << 8, 0, 0, true},
	} {
		first, second := frame(of.proto, of.first, of.then, 0, 1500), frame(of.proto, 0, 0, 0, 600)
		for _, b := range [][]byte{first, second} {
			binary.BigEndian.PutUint16(b[4:], 77+uint16(id))
		}
		binary.BigEndian.PutUint16(second[6:], 185)
		header := func(offset byte) []byte { return []byte{of.six, 0, offset, 1, 0, 0, 1, byte(id)} }
		first6 := slices.Insert(over6(frame(of.proto, of.first, of.then, 0, 1480)), 40, header(0)...)
		second6 := slices.Insert(over6(frame(udp, 0, 0, 0, 600)), 40, header(185)...)
		first6[6], second6[6] = 44, 44
		for i, b := range [][]byte{first, second, first6, second6} {
			p, ok := parse(b)
			if port, up := d.of(p); !ok || port != of.port || up != of.up {
				t.Errorf("%s, fragment %d: %t, port %d, up %t", of.what, i, ok, port, up)
			}
		}
	}
}

func TestParseRefuses(t *testing.T) {
	good := frame(tcp, 1, 2, syn, 60)
	for name, b := range map[string][]byte{
		"nothing":       nil,
		"half a header": good[:19],
		"half of IPv6":  append([]byte{0x60}, good[1:39]...),
		"IPv5":          append([]byte{0x50}, good[1:]...),
		"short header":  append([]byte{0x44}, good[1:]...),
		"long header":   append([]byte{0x4f}, good[1:40]...),
		"half of TCP's": good[:39],
		"no ports":      good[:22],
	} {
		if p, ok := parse(b); ok {
			t.Errorf("%s is taken as %+v", name, p)
		}
	}
}

// The fuzzer sends arbitrary bytes under any plan. Nothing panics, bytes that are no
// packet are dropped, and the packets held stay within the bounds.
func FuzzNetwork(f *testing.F) {
	f.Add([]byte("E\x00\x00\x28......@\x06..\x7f\x00\x00\x01\x7f\x00\x00\x01"), uint16(80))
	f.Add(append([]byte{0, 60}, frame(tcp, 1, 80, syn, 60)...), uint16(80))
	f.Add(append([]byte{0, 60}, frame(udp, 80, 1, 0, 60)...), uint16(80))
	f.Add(append([]byte{0, 80}, over6(frame(tcp, 1, 80, syn, 60))...), uint16(80))
	var profiles []badnet.Profile
	for _, text := range []string{"none", "flaky-wifi", "delay=1m duplicate=100%", "rate=1kbit limit=3 loss=50%", "delay=1s reorder=50%", "corrupt=50% loss=5%,correlation=25%", "rate=1mbit queue=codel corrupt=5%"} {
		p, err := badnet.Parse(text)
		if err != nil {
			f.Fatal(err)
		}
		profiles = append(profiles, p)
	}
	f.Fuzz(func(t *testing.T, data []byte, port uint16) {
		n := newNetwork(uint64(port))
		n.set(badnet.Plan{All: profiles[int(port)%len(profiles)], Ports: map[uint16]badnet.Profile{port: profiles[len(data)%len(profiles)]}})
		now, sent := time.Unix(0, 0), uint64(0)
		for len(data) >= 2 {
			size := min(int(binary.BigEndian.Uint16(data)), len(data)-2)
			n.send(now, data[2:2+size], 0)
			data, now, sent = data[2+size:], now.Add(time.Millisecond), sent+1
			if held := n.queue.Held(); held.Packets > bounds.Packets || held.Bytes > bounds.Bytes {
				t.Fatalf("%+v are held", held)
			}
		}
		if got := n.totals().Packets + n.dropped; got < sent {
			t.Errorf("%d of %d packets are accounted for", got, sent)
		}
	})
}
