package badnet_test

import (
	"encoding/binary"
	"testing"
	"time"

	"gotimeout/internal/badnet"
)

// Any packets at any times, while the link changes: nothing crashes, no release
// is before its packet, none further away than the worst link can hold it, and
// the counters add up.
func FuzzShaper(f *testing.F) {
	f.Add(uint64(1), []byte("a packet of 12 bytes each, more or less, and at some time."))
	f.Add(uint64(2), make([]byte, 600))
	f.Add(uint64(3), []byte("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f\xff\xff\xff\xff\xff\xff\xff\x00\x00\x00\x00"))
	var links []badnet.Link
	for _, text := range []string{
		"none", "lossy", "flaky-wifi", "cross-region", "rate=1kbit limit=2", "rate=1000gbit delay=1m jitter=1m,pareto",
		"delay=1m jitter=1m,normal loss=50%,burst=10000 reorder=50% duplicate=100% limit=1", "rate=1kbit duplicate=100%",
	} {
		links = append(links, link(f, text))
	}
	// The longest delay and ten times its jitter, behind a queue of a mebibyte
	// each at 1 kbit/s.
	const bound = 11*time.Minute + badnet.DefaultLimit*(1<<23)*time.Millisecond
	f.Fuzz(func(t *testing.T, seed uint64, data []byte) {
		s := badnet.NewShaper(links[seed%uint64(len(links))], seed)
		latest, released, sent := start, uint64(0), uint64(0)
		var buf []time.Time
		for ; len(data) >= 12; data = data[12:] {
			now := start.Add(time.Duration(binary.LittleEndian.Uint64(data)))
			size := int(int32(binary.LittleEndian.Uint32(data[8:])))
			if now.After(latest) {
				latest = now
			}
			buf = s.Send(buf[:0], now, size)
			sent++
			released += uint64(len(buf))
			if len(buf) > 2 {
				t.Fatalf("%d releases", len(buf))
			}
			for _, release := range buf {
				if release.Before(now) || release.Sub(latest) > bound {
					t.Fatalf("sent %s, comes out %s", now, release)
				}
			}
			if data[0]%8 == 0 {
				s.Set(links[int(data[1])%len(links)])
			}
		}
		c := s.Counters()
		if c.Packets != sent || c.Packets+c.Duplicated != released+c.Lost+c.Overflowed {
			t.Errorf("%d sent, %d came out, and %+v", sent, released, c)
		}
	})
}
