package badnet_test

import (
	"math"
	"testing"
	"time"

	"gotimeout/internal/badnet"
)

// The measurements are of one seed each, and so the same in every run.
const packets = 100_000

func TestShaperLossMeasured(t *testing.T) {
	for text, want := range map[string]struct{ loss, burst float64 }{
		"loss=0.1%":          {0.001, 1 / 0.999},
		"loss=5%":            {0.05, 1 / 0.95},
		"loss=50%":           {0.5, 2},
		"loss=95%":           {0.95, 20},
		"loss=1%,burst=3":    {0.01, 3},
		"loss=5%,burst=2":    {0.05, 2},
		"loss=5%,burst=10":   {0.05, 10},
		"loss=50%,burst=2":   {0.5, 2},
		"loss=80%,burst=5":   {0.8, 5},
		"loss=30%,burst=1.5": {0.3, 1.5},
	} {
		s := shaper(t, text)
		lost, bursts, before := 0, 0, false
		for range packets {
			gone := len(s.Send(nil, start, 100)) == 0
			if gone {
				lost++
				if !before {
					bursts++
				}
			}
			before = gone
		}
		checkNear(t, text+": share", float64(lost)/packets, want.loss, 0.005)
		// A burst's length is geometric, and its deviation sqrt(n(n-1)): four
		// times the error of the mean.
		within := 4 * math.Sqrt(want.burst*(want.burst-1)/float64(bursts))
		checkNear(t, text+": burst", float64(lost)/float64(bursts), want.burst, within)
		checkCounters(t, s, badnet.Counters{Packets: packets, Lost: uint64(lost)})
	}
}

// The lengths are geometric too, as the chain's are, and not all the mean.
func TestShaperBurstLengths(t *testing.T) {
	const mean, longest = 3., 10
	s := shaper(t, "loss=10%,burst=3")
	var lengths [longest + 1]float64 // the last is for those and all above
	bursts, length := 0., 0
	for range packets {
		if len(s.Send(nil, start, 100)) == 0 {
			length++
		} else if length > 0 {
			lengths[min(length, longest)]++
			bursts++
			length = 0
		}
	}
	chi2, share := 0., 1/mean
	for i := 1; i <= longest; i++ {
		want := bursts * share
		if i == longest {
			want *= mean
		}
		chi2 += (lengths[i] - want) * (lengths[i] - want) / want
		share *= 1 - 1/mean
	}
	if chi2 > 27.9 { // one in a thousand, of 9 degrees
		t.Errorf("chi² %.1f: %v of %v bursts", chi2, lengths, bursts)
	}
}

func TestShaperJitterMeasured(t *testing.T) {
	for text, want := range map[string]struct {
		deviation  float64 // in ms
		early, far time.Duration
	}{
		"delay=200ms jitter=10ms":        {10 / math.Sqrt(3), 190 * ms, 210 * ms},
		"delay=200ms jitter=10ms,normal": {10, 140 * ms, 260 * ms},
		"delay=200ms jitter=10ms,pareto": {10, 193 * ms, 290 * ms},
	} {
		s := shaper(t, text)
		sum, squares, early, far := 0., 0., time.Hour, time.Duration(0)
		for i := range packets {
			now := at(time.Duration(i) * time.Minute) // apart, so that none waits for another
			d := s.Send(nil, now, 100)[0].Sub(now)
			v := float64(d-200*ms) / float64(ms)
			sum, squares = sum+v, squares+v*v
			early, far = min(early, d), max(far, d)
		}
		checkNear(t, text+": mean off by, in ms", sum/packets, 0, 0.1)
		checkNear(t, text+": deviation in ms", math.Sqrt(squares/packets), want.deviation, 0.3)
		if early < want.early || far > want.far {
			t.Errorf("%s: %s to %s, want within %s to %s", text, early, far, want.early, want.far)
		}
	}
}

// The pareto's tail: fewer are late than early, and some very.
func TestShaperParetoTail(t *testing.T) {
	s := shaper(t, "delay=200ms jitter=10ms,pareto")
	late, very := 0., 0.
	for i := range packets {
		now := at(time.Duration(i) * time.Minute)
		switch d := s.Send(nil, now, 100)[0].Sub(now); {
		case d > 250*ms:
			very++
			fallthrough
		case d > 200*ms:
			late++
		}
	}
	checkNear(t, "late", late/packets, math.Pow(1.4921875, -3), 0.01)
	checkNear(t, "five deviations late", very/packets, math.Pow(1.4921875+5*0.72345, -3), 0.001)
}

func TestShaperNeverNegative(t *testing.T) {
	for _, text := range []string{"delay=10ms jitter=10ms", "delay=10ms jitter=10ms,normal", "delay=10ms jitter=10ms,pareto"} {
		s := shaper(t, text)
		for i := range packets / 5 {
			now := at(time.Duration(i) * time.Second)
			if release := s.Send(nil, now, 100)[0]; release.Before(now) {
				t.Fatalf("%s: %s before it was sent", text, now.Sub(release))
			}
		}
	}
}

// A link that always has something to send sends as much as its rate, to within
// a packet, whatever the sizes and the fractions of a nanosecond.
func TestShaperRateMeasured(t *testing.T) {
	for text, rate := range map[string]float64{"rate=1mbit": 1e6, "rate=7mbit": 7e6, "rate=999gbit": 999e9} {
		s := shaper(t, text+" limit=100000")
		bits, biggest := 0., 0.
		var last time.Time
		for i := range packets / 5 {
			size := 1 + i*i%1500
			bits, biggest = bits+float64(8*size), max(biggest, float64(8*size))
			last = s.Send(nil, start, size)[0]
		}
		checkNear(t, text, last.Sub(start).Seconds()*rate, bits, biggest)
	}
}

func TestShaperDuplicatesMeasured(t *testing.T) {
	s := shaper(t, "duplicate=10% loss=10%")
	var got badnet.Counters
	for range packets {
		got.Packets++
		switch len(s.Send(nil, start, 100)) {
		case 0:
			got.Lost++
		case 2:
			got.Duplicated++
		}
	}
	checkCounters(t, s, got)
	checkNear(t, "copies", float64(got.Duplicated)/float64(got.Packets-got.Lost), 0.1, 0.005)
}
