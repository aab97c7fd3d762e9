package main

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gotimeout/internal/badnet"
)

// A meter rewrites its line with the throughput of each half second, the queue and the drops,
// and takes it away at the end.
func TestMeter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var to strings.Builder
		m := newMeter(&to, 70)
		packet := func(up bool, bytes, queued int, dropped uint64) badnet.Packet {
			return badnet.Packet{Up: up, Data: make([]byte, bytes), Queued: queued, Counters: badnet.Counters{Lost: dropped, Overflowed: 1}}
		}
		m.Sent(packet(true, 1500, 3, 2))
		m.Delivered(packet(true, 1250, 2, 2))
		m.Delivered(packet(false, 50_000, 84, 0))
		time.Sleep(meterStep)
		synctest.Wait()
		m.Changed(badnet.Profile{})
		m.Sent(packet(true, 1500, 0, 4))
		time.Sleep(meterStep)
		synctest.Wait()
		_ = m.Close()
		const want = "\r\x1b[Kup 20 kbit/s, queue 2, dropped 3 | down 800 kbit/s, queue 84, dropped\r" +
			"\r\x1b[Kup 0 bit/s, queue 0, dropped 8 | down 0 bit/s, queue 84, dropped 1\r\r\x1b[K"
		if got := to.String(); got != want {
			t.Errorf("got\n%q\nwant\n%q", got, want)
		}
	})
}
