package badnet_test

import (
	"strings"
	"testing"
	"time"

	"gotimeout/internal/badnet"
)

const seed = 7

// start is when the packets of the tests begin.
var start = time.Date(2026, time.January, 1, 0, 0, 0, 0, time.UTC)

func at(d time.Duration) time.Time { return start.Add(d) }

// link reads one that is the same in both directions.
func link(t testing.TB, text string) badnet.Link {
	t.Helper()
	p, err := badnet.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	if p.Up != p.Down {
		t.Fatalf("%s: two links", text)
	}
	return p.Up
}

func shaper(t testing.TB, text string) *badnet.Shaper {
	t.Helper()
	return badnet.NewShaper(link(t, text), seed)
}

// send sends a packet that long after the start and writes when it comes out,
// "-" for never.
func send(s *badnet.Shaper, after time.Duration, size int) string {
	var words []string
	for _, release := range s.Send(nil, at(after), size) {
		words = append(words, release.Sub(start).String())
	}
	if len(words) == 0 {
		return "-"
	}
	return strings.Join(words, "+")
}

// sends sends that many packets at once.
func sends(s *badnet.Shaper, after time.Duration, size, packets int) string {
	var words []string
	for range packets {
		words = append(words, send(s, after, size))
	}
	return strings.Join(words, " ")
}

func checkCounters(t *testing.T, s *badnet.Shaper, want badnet.Counters) {
	t.Helper()
	if got := s.Counters(); got != want {
		t.Errorf("counters %+v, want %+v", got, want)
	}
}

func checkNear(t *testing.T, what string, got, want, within float64) {
	t.Helper()
	if !(got >= want-within && got <= want+within) {
		t.Errorf("%s: got %.5g, want %.5g ± %.3g", what, got, want, within)
	}
}

func TestShaperReleases(t *testing.T) {
	for name, test := range map[string]struct {
		link string
		do   func(s *badnet.Shaper) string
		want string
	}{
		"none":                  {"none", func(s *badnet.Shaper) string { return sends(s, 5*ms, 1500, 2) }, "5ms 5ms"},
		"a delay":               {"delay=1m", func(s *badnet.Shaper) string { return sends(s, 5*ms, 1500, 2) }, "1m0.005s 1m0.005s"},
		"all lost":              {"loss=100%", func(s *badnet.Shaper) string { return sends(s, 0, 1500, 3) }, "- - -"},
		"all twice":             {"delay=1ms duplicate=100%", func(s *badnet.Shaper) string { return sends(s, 0, 1500, 2) }, "1ms+1ms 1ms+1ms"},
		"copies use the rate":   {"rate=1mbit duplicate=100%", func(s *badnet.Shaper) string { return sends(s, 0, 125, 2) }, "1ms+2ms 3ms+4ms"},
		"copies use the limit":  {"rate=1mbit duplicate=100% limit=3", func(s *badnet.Shaper) string { return sends(s, 0, 125, 2) }, "1ms+2ms 3ms"},
		"the lost use no rate":  {"rate=1mbit loss=100%", func(s *badnet.Shaper) string { send(s, 0, 125); s.Set(link(t, "rate=1mbit")); return send(s, 0, 125) }, "1ms"},
		"a rate":                {"rate=1mbit", func(s *badnet.Shaper) string { return sends(s, 0, 1250, 3) }, "10ms 20ms 30ms"},
		"a rate and a delay":    {"rate=1mbit delay=7ms", func(s *badnet.Shaper) string { return sends(s, 0, 1250, 3) }, "17ms 27ms 37ms"},
		"a rate and a pause":    {"rate=1mbit", func(s *badnet.Shaper) string { return sends(s, 0, 1250, 2) + " " + send(s, 50*ms, 1250) }, "10ms 20ms 60ms"},
		"a rate with fractions": {"rate=3mbit", func(s *badnet.Shaper) string { return sends(s, 0, 1, 3) }, "2.666µs 5.333µs 8µs"},
		"nothing to send":       {"rate=1mbit", func(s *badnet.Shaper) string { return send(s, 0, 0) + " " + send(s, 0, -5) }, "0s 0s"},
		"a limit": {"rate=1mbit limit=3", func(s *badnet.Shaper) string {
			return sends(s, 0, 1250, 5) + " " + send(s, 10*ms-1, 1250) + " " + send(s, 10*ms, 1250) + " " + send(s, 10*ms, 1250)
		}, "10ms 20ms 30ms - - - 40ms -"},
		"a limit bounds no delay": {"delay=1s limit=1", func(s *badnet.Shaper) string { return sends(s, 0, 1250, 3) }, "1s 1s 1s"},
		"all overtake":            {"delay=1s reorder=100% rate=1mbit", func(s *badnet.Shaper) string { return sends(s, 0, 1250, 2) }, "10ms 20ms"},
	} {
		check(t, name, test.do(shaper(t, test.link)), test.want)
	}
}

func TestShaperDefaultLimit(t *testing.T) {
	s := shaper(t, "rate=1kbit")
	sends(s, 0, 1500, badnet.DefaultLimit+5)
	checkCounters(t, s, badnet.Counters{Packets: badnet.DefaultLimit + 5, Overflowed: 5})
}

// Packets leave the queue while it grows, and it still knows which are next.
func TestShaperQueueGrowsInUse(t *testing.T) {
	s := shaper(t, "rate=1mbit limit=28")
	sends(s, 0, 1250, 16)
	sends(s, 85*ms, 1250, 20)
	check(t, "full", send(s, 89*ms, 1250), "-")
	check(t, "with room for one", sends(s, 90*ms, 1250, 2), "370ms -")
}

// The sequence of a seed: it changes only when the Shaper does.
func TestShaperLossSequence(t *testing.T) {
	const (
		loss   = "...........x...x..x..x....x....xx.....x....x...x....x......."
		bursts = "....................xxxxx.................xxxx.............."
	)
	for text, want := range map[string]string{
		"loss=30%":         loss,
		"loss=30%,burst=4": bursts,
		// What is drawn for the rest has no part in it.
		"loss=30% delay=100ms jitter=50ms,normal duplicate=10% reorder=10%": loss,
	} {
		s, got := shaper(t, text), ""
		for i := range 60 {
			if send(s, time.Duration(i)*time.Second, 100) == "-" {
				got += "x"
			} else {
				got += "."
			}
		}
		check(t, text, got, want)
	}
}

func TestShaperIsRepeatable(t *testing.T) {
	const text = "delay=50ms jitter=20ms,pareto loss=5%,burst=2 reorder=5% duplicate=5% rate=10mbit limit=20"
	one, same, other := shaper(t, text), shaper(t, text), badnet.NewShaper(link(t, text), seed+1)
	differ := false
	for i := range 1000 {
		now, size := time.Duration(i)*ms, 40+i*7%1460
		a, b := send(one, now, size), send(same, now, size)
		if a != b {
			t.Fatalf("packet %d: %s and %s with the same seed", i, a, b)
		}
		differ = differ || a != send(other, now, size)
	}
	if !differ {
		t.Error("another seed, and all the same")
	}
	if one.Counters() != same.Counters() {
		t.Errorf("%+v and %+v with the same seed", one.Counters(), same.Counters())
	}
}

func TestShaperKeepsOrder(t *testing.T) {
	for _, text := range []string{
		"delay=50ms jitter=50ms",
		"delay=50ms jitter=50ms,normal rate=10mbit",
		"delay=50ms jitter=50ms,pareto loss=10% duplicate=10%",
	} {
		s, last := shaper(t, text), start
		for i := range 10_000 {
			for _, release := range s.Send(nil, at(time.Duration(i)*ms), 1000) {
				if release.Before(last) {
					t.Fatalf("%s: packet %d comes out %s before another", text, i, last.Sub(release))
				}
				last = release
			}
		}
	}
}

// Those that overtake come out at once; the others wait and keep their order.
func TestShaperReorders(t *testing.T) {
	s := shaper(t, "delay=50ms jitter=20ms reorder=10%")
	var last time.Time
	overtook := 0
	for i := range 10_000 {
		now := at(time.Duration(i) * 10 * ms)
		release := s.Send(nil, now, 1000)[0]
		if release.Equal(now) {
			overtook++
			continue
		}
		if release.Before(last) || release.Sub(now) < 30*ms {
			t.Fatalf("packet %d takes %s, and comes out %s before another", i, release.Sub(now), last.Sub(release))
		}
		last = release
	}
	checkNear(t, "share", float64(overtook)/10_000, 0.1, 0.01)
	checkCounters(t, s, badnet.Counters{Packets: 10_000, Reordered: uint64(overtook)})
}

func TestShaperSet(t *testing.T) {
	s := shaper(t, "delay=100ms")
	check(t, "before", send(s, 0, 1250), "100ms")
	s.Set(link(t, "delay=10ms"))
	check(t, "behind the one under way", send(s, 1*ms, 1250), "100ms")
	check(t, "after it", send(s, 100*ms, 1250), "110ms")
	s.Set(link(t, "rate=1mbit limit=2"))
	check(t, "a rate", sends(s, 200*ms, 1250, 3), "210ms 220ms -")
	s.Set(link(t, "rate=2mbit limit=2"))
	check(t, "a faster one, once there is room", send(s, 205*ms, 1250)+" "+send(s, 210*ms, 1250), "- 225ms")
	s.Set(link(t, "delay=50ms reorder=100%"))
	check(t, "overtaking what waits", send(s, 211*ms, 1250), "211ms")
	s.Set(link(t, "loss=100%"))
	check(t, "nothing any more", send(s, 1000*ms, 1250), "-")
	s.Set(link(t, "none"))
	check(t, "as it is", send(s, 2000*ms, 1250), "2s")
	checkCounters(t, s, badnet.Counters{Packets: 11, Lost: 1, Overflowed: 2, Reordered: 1})
}

func TestShaperPanicsWithoutAValidLink(t *testing.T) {
	defer func() {
		if got, want := recover(), "badnet: delay=-1ns is out of bounds; write 0s to 1m0s"; got != want {
			t.Errorf("panic %v, want %s", got, want)
		}
	}()
	badnet.NewShaper(badnet.Link{Delay: -1}, seed)
}

func TestShaperAllocatesNothing(t *testing.T) {
	s := shaper(t, "delay=50ms jitter=20ms,normal loss=5%,burst=2 reorder=5% duplicate=5% rate=10mbit limit=10")
	buf, now := make([]time.Time, 0, 2), start
	sends(s, 0, 1500, 20) // the queue has grown
	if got := testing.AllocsPerRun(1000, func() {
		now = now.Add(ms)
		s.Send(buf, now, 1500)
	}); got != 0 {
		t.Errorf("%v allocations a packet", got)
	}
}
