package badnet_test

import (
	"math"
	"strconv"
	"strings"
	"testing"
	"time"

	"gotimeout/internal/badnet"
)

const seed = 7

// start is the time 0 of the tests.
var start = time.Date(2026, time.January, 1, 0, 0, 0, 0, time.UTC)

func at(d time.Duration) time.Time { return start.Add(d) }

// link parses a profile that is the same in both directions.
func link(t testing.TB, text string) badnet.Link {
	t.Helper()
	p, err := badnet.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	if p.Up != p.Down {
		t.Fatalf("%s: the directions differ", text)
	}
	return p.Up
}

func shaper(t testing.TB, text string) *badnet.Shaper {
	t.Helper()
	return badnet.NewShaper(link(t, text), seed)
}

// send sends a packet at the time after, and returns when the packet is released, or
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

// sends sends several packets at once.
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

// Packets leave the queue while the queue grows, and their order stays.
func TestShaperQueueGrowsInUse(t *testing.T) {
	s := shaper(t, "rate=1mbit limit=28")
	sends(s, 0, 1250, 16)
	sends(s, 85*ms, 1250, 20)
	check(t, "full", send(s, 89*ms, 1250), "-")
	check(t, "with room for one", sends(s, 90*ms, 1250, 2), "370ms -")
}

// The sequence of losses of a seed changes only with the Shaper's code.
func TestShaperLossSequence(t *testing.T) {
	const (
		loss   = "...........x...x..x..x....x....xx.....x....x...x....x......."
		bursts = "....................xxxxx.................xxxx.............."
	)
	for text, want := range map[string]string{
		"loss=30%":         loss,
		"loss=30%,burst=4": bursts,
		// The random numbers of the other keys don't change the losses.
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
		t.Error("another seed makes the same sequence")
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
					t.Fatalf("%s: packet %d is released %s before another", text, i, last.Sub(release))
				}
				last = release
			}
		}
	}
}

// A packet that overtakes is released at once; the others wait and keep their order.
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
			t.Fatalf("packet %d takes %s, and is released %s before another", i, release.Sub(now), last.Sub(release))
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
	sends(s, 0, 1500, 20) // the queue grows to its size
	if got := testing.AllocsPerRun(1000, func() {
		now = now.Add(ms)
		s.Send(buf, now, 1500)
	}); got != 0 {
		t.Errorf("%v allocations a packet", got)
	}
}

// Each measurement has one seed, and so is the same in every run.
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
		lost, bursts := losses(s)
		checkNear(t, text+": share", float64(lost)/packets, want.loss, 0.005)
		// The length of a burst is geometric with the deviation sqrt(n(n-1)), and the
		// bound is four times the error of the mean.
		within := 4 * math.Sqrt(want.burst*(want.burst-1)/float64(bursts))
		checkNear(t, text+": burst", float64(lost)/float64(bursts), want.burst, within)
		checkCounters(t, s, badnet.Counters{Packets: packets, Lost: uint64(lost)})
	}
}

// losses sends packets, and counts those that are lost and their bursts.
func losses(s *badnet.Shaper) (lost, bursts int) {
	before := false
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
	return lost, bursts
}

// A correlation makes the share that netem's formula makes: the numbers that decide are
// near a half, so that 5% become 0.2%, and more of the losses follow one another. The
// wanted figures are those of four million packets by the kernel's 32-bit arithmetic.
func TestShaperLossCorrelation(t *testing.T) {
	for text, want := range map[string]struct{ loss, burst float64 }{
		"loss=5%,correlation=25%":  {0.001963, 1.05},
		"loss=50%,correlation=25%": {0.5, 2.29},
		"loss=30%,correlation=90%": {0.00082, 1.77},
	} {
		s := shaper(t, text)
		lost, bursts := losses(s)
		checkNear(t, text+": share", float64(lost)/packets, want.loss, 0.0006+0.01*want.loss)
		checkNear(t, text+": burst", float64(lost)/float64(bursts), want.burst, 0.1)
	}
}

// The link is on at first. A packet that is sent in an outage is lost, exact to the
// nanosecond; packets on their way arrive.
func TestShaperOutages(t *testing.T) {
	s := shaper(t, "outage=1s,every=10s delay=5s")
	const second = time.Second
	for _, step := range []struct {
		at   time.Duration
		want string
	}{
		{0, "5s"}, {9*second - 1, "13.999999999s"}, {9 * second, "-"}, {10*second - 1, "-"}, {10 * second, "15s"},
		{19 * second, "-"}, {3599*second + 1, "-"}, {3600 * second, "1h0m5s"},
	} {
		check(t, step.at.String(), send(s, step.at, 100), step.want)
	}
	checkCounters(t, s, badnet.Counters{Packets: 8, Out: 4})
	s.Start(at(time.Second), 1)
	check(t, "started anew", send(s, 9*second, 100)+" "+send(s, 10*second, 100), "1h0m5s -")
}

// Both times are exponential, with the means that are asked for, and the same in two
// directions that start together.
func TestShaperExponentialOutages(t *testing.T) {
	const text = "outage=1s,every=5s,exponential"
	one, other := shaper(t, text), badnet.NewShaper(link(t, text), seed+1)
	one.Start(start, seed)
	other.Start(start, seed)
	out, outages, long, length := 0, 0, 0, 0
	for i := range packets {
		now := time.Duration(i) * 20 * ms
		gone := send(one, now, 100) == "-"
		if gone != (send(other, now, 100) == "-") {
			t.Fatalf("at %s one direction is out, and the other is not", now)
		}
		if !gone {
			length = 0
			continue
		}
		out++
		length++
		switch length {
		case 1:
			outages++
		case 51:
			long++
		}
	}
	checkNear(t, "share", float64(out)/packets, 0.2, 0.03)
	checkNear(t, "mean of an outage in seconds", float64(out)*0.02/float64(outages), 1, 0.15)
	checkNear(t, "share of outages above the mean", float64(long)/float64(outages), math.Exp(-1), 0.08)
}

// A bit of each corrupted packet is flipped, any bit of the packet.
func TestShaperCorrupts(t *testing.T) {
	s := shaper(t, "corrupt=10%")
	seen, corrupted := map[int]bool{}, 0
	for range packets {
		send(s, 0, 5)
		if bit, ok := s.Corrupt(5); ok {
			corrupted++
			seen[bit] = true
			if bit < 0 || bit >= 40 {
				t.Fatalf("bit %d of 5 bytes", bit)
			}
		}
	}
	checkNear(t, "share", float64(corrupted)/packets, 0.1, 0.005)
	check(t, "bits", strconv.Itoa(len(seen)), "40")
	checkCounters(t, s, badnet.Counters{Packets: packets, Corrupted: uint64(corrupted)})
}

// The lengths of bursts are geometric, as those of the Markov chain are.
func TestShaperBurstLengths(t *testing.T) {
	const mean, longest = 3., 10
	s := shaper(t, "loss=10%,burst=3")
	var lengths [longest + 1]float64 // the last counts longer bursts too
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
	if chi2 > 27.9 { // p = 0.001 for 9 degrees of freedom
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
			now := at(time.Duration(i) * time.Minute) // so far apart that no packet waits for another
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

// The pareto distribution has a tail: fewer packets are late than early, and some are very late.
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
				t.Fatalf("%s: released %s before it was sent", text, now.Sub(release))
			}
		}
	}
}

// A busy link sends at its rate, exact to one packet, whatever the packets' sizes and
// the fractions of a nanosecond.
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
