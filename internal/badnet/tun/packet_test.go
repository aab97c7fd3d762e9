package tun

import (
	"encoding/binary"
	"testing"
	"time"

	"gotimeout/internal/badnet"
)

// frame is an IPv4 packet of that size.
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

func TestDirections(t *testing.T) {
	var d directions
	for i, step := range []struct {
		what     string
		proto    byte
		src, dst uint16
		flags    byte
		port     uint16
		up       bool
	}{
		{"a client's first", tcp, 40000, 50000, syn, 50000, true},
		{"its answer", tcp, 50000, 40000, synAck, 50000, false},
		{"and on", tcp, 40000, 50000, ack, 50000, true},
		{"another's, to a lower port", tcp, 50001, 80, syn, 80, true},
		{"its answer", tcp, 80, 50001, synAck, 80, false},
		{"the server's port is a client's now", tcp, 50000, 40001, syn, 40001, true},
		{"its answer", tcp, 40001, 50000, synAck, 40001, false},
		{"of a connection that nobody saw begin", tcp, 45000, 443, ack, 443, true},
		{"back", tcp, 443, 45000, ack, 443, false},
		{"a question", udp, 33000, 34000, 0, 34000, true},
		{"its answer", udp, 34000, 33000, 0, 34000, false},
		{"ping", icmp, 8 << 8, 0, 0, 0, true},
		{"pong", icmp, 0, 0, 0, 0, false},
	} {
		p, ok := parse(frame(step.proto, step.src, step.dst, step.flags, 40))
		if !ok {
			t.Fatalf("%d: %s is malformed", i, step.what)
		}
		if port, up := d.of(p); port != step.port || up != step.up {
			t.Errorf("%d: %s: port %d, up %t; want %d, %t", i, step.what, port, up, step.port, step.up)
		}
	}
}

// The second fragment goes the way of the first, whose ports it has not.
func TestFragments(t *testing.T) {
	var d directions
	first, second := frame(udp, 33000, 53, 0, 1500), frame(udp, 0, 0, 0, 600)
	for _, b := range [][]byte{first, second} {
		binary.BigEndian.PutUint16(b[4:], 77)
	}
	binary.BigEndian.PutUint16(second[6:], 185)
	for i, b := range [][]byte{first, second} {
		p, ok := parse(b)
		if port, up := d.of(p); !ok || port != 53 || !up {
			t.Errorf("fragment %d: %t, port %d, up %t", i, ok, port, up)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	good := frame(tcp, 1, 2, syn, 60)
	for name, b := range map[string][]byte{
		"nothing":       nil,
		"half a header": good[:19],
		"IPv6":          append([]byte{0x60}, good[1:]...),
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

// Arbitrary packets under any plan: nothing crashes, what is no packet is
// dropped, and what is held stays within its bounds.
func FuzzNetwork(f *testing.F) {
	f.Add([]byte("E\x00\x00\x28......@\x06..\x7f\x00\x00\x01\x7f\x00\x00\x01"), uint16(80))
	f.Add(append([]byte{0, 60}, frame(tcp, 1, 80, syn, 60)...), uint16(80))
	f.Add(append([]byte{0, 60}, frame(udp, 80, 1, 0, 60)...), uint16(80))
	var profiles []badnet.Profile
	for _, text := range []string{"none", "flaky-wifi", "delay=1m duplicate=100%", "rate=1kbit limit=3 loss=50%", "delay=1s reorder=50%"} {
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
