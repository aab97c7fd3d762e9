package badnet_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"gotimeout/internal/badnet"
)

// hold sends packets of one size, each a gap after the one before, and returns the
// release of each, or "-" for those that are dropped.
func hold(s *badnet.Shaper, size, packets int, gap time.Duration) string {
	out := make([]string, packets)
	for i := range out {
		out[i] = "-"
	}
	decide := func(until time.Time) {
		for packet, release, ok := s.Decide(until); ok; packet, release, ok = s.Decide(until) {
			out[packet[0]] = release.Sub(start).String()
		}
	}
	for i := range packets {
		now := at(time.Duration(i) * gap)
		decide(now)
		s.Hold(now, size, []byte{byte(i)})
		decide(now)
	}
	for next, waits := s.NextDecision(); waits; next, waits = s.NextDecision() {
		decide(next.Add(-1))
		if again, _ := s.NextDecision(); !again.Equal(next) {
			panic("something was decided a nanosecond early")
		}
		decide(next)
	}
	return strings.Join(out, " ")
}

func TestDropHead(t *testing.T) {
	for words, want := range map[string]string{
		"limit=3":                     "10ms - - 20ms 30ms",
		"limit=2":                     "10ms - - - 20ms",
		"limit=1":                     "10ms - - - -",
		"limit=5":                     "10ms 20ms 30ms 40ms 50ms",
		"limit=3 delay=1s":            "1.01s - - 1.02s 1.03s",
		"limit=3 delay=1s loss=100%":  "- - - - -",
		"limit=9 outage=1s,every=61s": "10ms 20ms 30ms 40ms 50ms",
	} {
		s := shaper(t, "rate=1mbit queue=drophead "+words)
		check(t, words, hold(s, 1250, 5, 0), want)
	}
	s := shaper(t, "rate=1mbit queue=drophead limit=3")
	hold(s, 1250, 5, 0)
	checkCounters(t, s, badnet.Counters{Packets: 5, Overflowed: 2})
}

func TestDropHeadOverATrace(t *testing.T) {
	s := traced(t, "queue=drophead limit=3", 5, 5, 20)
	check(t, "full packets", hold(s, 1500, 5, 0), "- - 5ms 5ms 20ms")
	s = traced(t, "queue=drophead", 5, 20)
	check(t, "small packets share", hold(s, 500, 4, 0), "5ms 5ms 5ms 20ms")
	s = traced(t, "queue=drophead", 5, 20)
	check(t, "an unused opportunity is lost", hold(s, 1000, 3, 6*ms), "5ms 20ms 25ms")
}

// Twice as many packets arrive as are sent. After packets have waited too long for 100 ms
// CoDel drops one, the next after 100 ms, and then after 100/√2, 100/√3… as RFC 8289 says.
func TestCoDel(t *testing.T) {
	s := shaper(t, "rate=1mbit queue=codel")
	var dropped []string
	for i, release := range strings.Fields(hold(s, 1250, 60, 5*ms)) {
		if release == "-" {
			dropped = append(dropped, fmt.Sprint(i))
		}
	}
	check(t, "dropped", strings.Join(dropped, " "), "13 24 33 39 45 51 56")
	checkCounters(t, s, badnet.Counters{Packets: 60, Early: 7})
	s = shaper(t, "rate=1mbit queue=codel limit=2")
	check(t, "a limit", hold(s, 1250, 4, 0), "10ms 20ms - -")
	s = shaper(t, "rate=1mbit queue=codel")
	check(t, "no long wait", strings.Trim(hold(s, 1250, 200, 10*ms), "0123456789.ms "), "")
}

// With a tenth more packets than the rate, droptail's wait grows to the whole queue of a
// second. CoDel and PIE keep it short, and PIE near its target of 15 ms.
func TestDisciplinesKeepTheWaitShort(t *testing.T) {
	for queue, most := range map[string]time.Duration{"droptail": 1200 * ms, "codel": 60 * ms, "pie": 25 * ms} {
		s := shaper(t, "rate=10mbit queue="+queue)
		var waits time.Duration
		sent, n := map[byte]time.Time{}, 0
		count := func(wait time.Duration, now time.Time) {
			if now.Sub(start) > 40*time.Second {
				waits += wait
				n++
			}
		}
		const gap = 1200 * time.Microsecond * 10 / 11
		for i := range 60_000 {
			now := at(time.Duration(i) * gap)
			if !s.Defers() {
				for _, release := range s.Send(nil, now, 1500) {
					count(release.Sub(now), now)
				}
				continue
			}
			decide := func() {
				for packet, release, ok := s.Decide(now); ok; packet, release, ok = s.Decide(now) {
					count(release.Sub(sent[packet[0]]), now)
				}
			}
			decide()
			sent[byte(i)] = now
			s.Hold(now, 1500, []byte{byte(i)})
			decide()
		}
		wait := waits / time.Duration(n)
		t.Logf("%s: %s, %+v", queue, wait, s.Counters())
		if wait > most || queue == "droptail" && wait < most*9/10 || queue == "pie" && wait < 5*ms {
			t.Errorf("%s: packets wait %s on average, want at most %s", queue, wait, most)
		}
		if c := s.Counters(); (queue == "droptail") != (c.Early == 0) {
			t.Errorf("%s: %+v", queue, c)
		}
	}
}

// PIE drops nothing of a burst of 150 ms, although the burst waits for half a second.
func TestPIELetsABurstThrough(t *testing.T) {
	s := shaper(t, "rate=1mbit queue=pie")
	check(t, "the last of 50", strings.Fields(sends(s, 0, 1250, 50))[49], "500ms")
	sends(s, 149*ms, 1250, 1)
	checkCounters(t, s, badnet.Counters{Packets: 51})
	sends(s, 400*ms, 1250, 2000)
	if c := s.Counters(); c.Early == 0 {
		t.Errorf("nothing is dropped of a queue that stays: %+v", c)
	}
}
