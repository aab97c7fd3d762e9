package check

import (
	"math"
	"slices"
	"time"

	"gotimeout/internal/badnet"
	"gotimeout/internal/badnet/probe"
)

// The tolerances: of a time 1 ms and 2% of the asked time, of a rate 2%, of a share
// half a percentage point. The sampling error is added, as so many standard
// deviations that chance alone does not exceed it.
const (
	offMillis  = 1.
	offShare   = 0.02
	offPercent = 0.5
	deviations = 3.5
)

// judge makes figures of a measurement and the profile that was asked for.
func judge(p badnet.Profile, m measurement) []Figure {
	s := scheduleOf(p)
	if m.proxied { // a proxy answers a dial by itself, and bytes have no headers
		s.dial = 0
		s.trip = p.RoundTrip() + lasts(probe.Size, p.Up.Rate) + lasts(probe.Size, p.Down.Rate)
	}
	figures := []Figure{s.figure("dial", s.dial, m.dials, p)}
	figures = append(figures, s.figure("round trip", s.trip, m.trips, p))
	figures = append(figures, Figure{
		What: "round trip p99", Unit: Millis, Measured: probe.Percentile(m.trips.times, 99), Note: forInformation,
	})
	if back(p) == 0 {
		figures = figures[:2]
	}
	if six := s.over6(p); !m.proxied {
		figures = append(figures, six.figure("dial ::1", six.dial, m.six.dials, p), six.figure("round trip ::1", six.trip, m.six.trips, p))
	}
	ways := []struct {
		name string
		link badnet.Link
		way
	}{{"up", p.Up, m.up}, {"down", p.Down, m.down}}
	kinds := []func(badnet.Link, way) (Figure, bool){loss, duplicates, reordered, rate}
	if p.Up.Delay != p.Down.Delay { // a round trip is the sum of both
		kinds = append([]func(badnet.Link, way) (Figure, bool){delay}, kinds...)
	}
	for _, of := range kinds {
		for _, w := range ways {
			if f, ok := of(w.link, w.way); ok {
				f.Way = w.name
				figures = append(figures, f)
			}
		}
	}
	return figures
}

// figure judges the median of times, or their mean under jitter.
func (s schedule) figure(what string, asked time.Duration, got sample, p badnet.Profile) Figure {
	f := Figure{What: what, Unit: Millis, Measured: probe.Percentile(got.times, 50)}
	if got.sent == 0 {
		f.Note = noIPv6
	}
	if back(p) == 0 {
		return f
	}
	f.Asked = probe.Millis(asked)
	f.Within = offMillis + offShare**f.Asked
	if s.vague && len(got.times) > 0 {
		f.What, f.Measured = what+" (mean)", mean(got.times)
		f.Within += deviations * s.deviation / math.Sqrt(float64(len(got.times)))
	}
	switch {
	case f.Note != "":
	case p.Up.Trace.File+p.Down.Trace.File != "":
		f.Note = varies
	case f.Measured == nil && chance(p, got.sent):
		f.Note = "all were lost, as may be"
	}
	return f
}

// chance tells whether chance may lose all of n probes.
func chance(p badnet.Profile, n int) bool {
	return math.Pow(1-back(p), float64(n)) > 1e-6 || p.Up.Burst > 1 || p.Down.Burst > 1 || p.Up.Correlation+p.Down.Correlation > 0 || p.Up.Outage+p.Down.Outage > 0 || p.Up.Limit+p.Down.Limit > 0
}

func mean(times []time.Duration) *float64 {
	var sum time.Duration
	for _, d := range times {
		sum += d
	}
	return probe.Millis(sum / time.Duration(len(times)))
}

// delay judges the delay of one way. Under jitter it can't: packets in a row wait
// for each other.
func delay(l badnet.Link, w way) (Figure, bool) {
	only := badnet.Profile{Up: l}
	s := scheduleOf(only)
	slices.Sort(w.packets.delays)
	asked := s.trip + lasts(tinyPacket, l.Rate) - lasts(probe.Packet, l.Rate)
	return s.figure("delay", asked, sample{w.packets.sent, w.packets.delays}, only), l.Jitter == 0 && w.packets.sent > 0
}

func loss(l badnet.Link, w way) (Figure, bool) {
	f := share("loss", 1-l.Arrives(), w.packets.sent-w.packets.arrived, w.packets.sent, longer(l))
	switch {
	case w.packets.overflow > 0:
		f.Note = cannotReceive
	case l.Trace.File != "":
		f.Note = varies
	case l.Outage > 0:
		f.Note = "how much an outage takes is a matter of when"
	case l.Correlation > 0:
		f.Note = "a correlation makes another share than it is given"
	case l.Corrupt > 0:
		f.Note = "a receiver drops a corrupted packet, which counts as lost"
	case l.Rate > 0 && l.Limit > 0 && l.Limit < 100:
		f.Note = "so short a queue drops some too"
	}
	return f, w.packets.sent > 0
}

// longer is the factor by which bursts raise the sampling error of a share: the
// packets of one burst are not independent.
func longer(l badnet.Link) float64 {
	if l.Burst <= 1 || l.Arrives() == 0 {
		return 1
	}
	leave := 1 / l.Burst
	stay := 1 - leave - leave*l.Loss/(1-l.Loss)
	return math.Sqrt((1 + stay) / (1 - stay))
}

func duplicates(l badnet.Link, w way) (Figure, bool) {
	return share("duplicates", l.Duplicate, w.packets.copies, w.packets.arrived, 1), w.packets.arrived > 0
}

func reordered(l badnet.Link, w way) (Figure, bool) {
	return share("reordered", l.Reorder, w.packets.overtook, w.packets.arrived, 1), w.packets.arrived > 0
}

func share(what string, asked float64, n, of int, wider float64) Figure {
	percent, measured := 100*asked, 100*float64(n)/float64(max(of, 1))
	within := offPercent
	if asked > 0 {
		within += 100 * deviations * wider * math.Sqrt(asked*(1-asked)/float64(max(of, 1)))
	}
	return Figure{What: what, Unit: Percent, Asked: &percent, Measured: &measured, Within: within}
}

func rate(l badnet.Link, w way) (Figure, bool) {
	f := Figure{What: "rate", Unit: Bits, Note: w.rate.note}
	if w.rate.bits > 0 {
		whole := math.Round(w.rate.bits)
		f.Measured = &whole
	}
	if l.Rate == 0 {
		if f.What = "throughput"; f.Note == "" {
			f.Note = forInformation
		}
		return f, f.Measured != nil
	}
	asked := float64(l.Rate)
	f.Asked, f.Within = &asked, offShare*asked
	if w.rate.between > 0 { // jitter moves the first and the last arrival
		f.Within += asked * float64(2*l.Jitter) / float64(w.rate.between)
	}
	switch {
	case f.Note != "":
	case l.Trace.File != "":
		f.Note = varies
	case l.Outage > 0:
		f.Note = "an outage may take a part of it"
	case l.Correlation > 0:
		f.Note = "how many packets a correlation leaves is not known"
	}
	return f, l.Arrives() > 0
}

// The sizes of the packets, in bytes.
const (
	dialPacket = 60 // a SYN and its answer, with the options of Linux
	fullPacket = 1500
	tinyPacket = 20 + 8 + stampSize
)

// schedule is how round trips are measured. The probes are so far apart that none
// waits for another's jitter or for the rate. A probe does not wait for the one
// before it to come back.
type schedule struct {
	dials, probes int
	gap           time.Duration
	dial, trip    time.Duration // asked: the delays, and the time that the rate takes for the packets
	patience      time.Duration // after which no probe comes back any more
	vague         bool          // times vary, so that the mean is judged
	settle        time.Duration // until the last packets of the dials have arrived
	deviation     float64       // the standard deviation of a time, in milliseconds
}

func scheduleOf(p badnet.Profile) schedule {
	s := schedule{gap: 5 * time.Millisecond, patience: 300 * time.Millisecond}
	loses, squares := false, 0.
	for _, l := range []badnet.Link{p.Up, p.Down} {
		mean := l.Delay - time.Duration(l.Reorder*float64(l.Delay))
		s.dial += mean + lasts(dialPacket, l.Rate)
		s.trip += mean + lasts(probe.Packet, l.Rate)
		s.patience += latest(l) + 2*lasts(dialPacket, l.Rate)
		s.gap = max(s.gap, apart(l), 2*lasts(dialPacket, l.Rate))
		squares += variance(l)
		s.vague = s.vague || l.Jitter > 0 || l.Reorder > 0
		loses = loses || l.Arrives() < 1 || l.Limit > 0
	}
	s.deviation = math.Sqrt(squares)
	if loses {
		// TCP sends a lost SYN again after a second: such a dial does not measure the
		// delay.
		s.patience = min(s.patience, s.dial+900*time.Millisecond)
	}
	budget := time.Second
	if s.vague {
		budget += budget / 2
	}
	s.probes = int(min(max(budget/s.gap, 5), 200))
	s.dials = int(min(max(budget/4/s.gap, 3), 10))
	s.settle = time.Duration(s.dials) * (lasts(2*dialPacket, p.Up.Rate) + lasts(2*dialPacket, p.Down.Rate))
	return s
}

// over6 is the schedule for packets of IPv6, whose header is longer.
func (s schedule) over6(p badnet.Profile) schedule {
	const longer = 20
	more := lasts(longer, p.Up.Rate) + lasts(longer, p.Down.Rate)
	s.dial += more
	s.trip += more
	s.patience += 2 * more
	s.gap += 2 * more
	s.settle += 2 * time.Duration(s.dials) * more
	return s
}

// apart is how far two packets must be from each other so that neither waits for
// the other's jitter, on the way back either.
func apart(l badnet.Link) time.Duration {
	if l.Distribution == badnet.Uniform {
		return 4 * l.Jitter
	}
	return 8 * l.Jitter
}

// latest is the longest time from a packet's sending to its arrival.
func latest(l badnet.Link) time.Duration {
	if l.Distribution == badnet.Uniform {
		return l.Delay + l.Jitter
	}
	return l.Delay + 10*l.Jitter
}

// variance is the variance of a delay in square milliseconds: the share of reorder
// has no delay, and the other packets have the jitter.
func variance(l badnet.Link) float64 {
	ms := float64(time.Millisecond)
	delay, jitter := float64(l.Delay)/ms, float64(l.Jitter)/ms
	if l.Distribution == badnet.Uniform {
		jitter /= math.Sqrt(3)
	}
	return l.Reorder*(1-l.Reorder)*delay*delay + (1-l.Reorder)*jitter*jitter
}

// lasts is how long so many bytes take at a rate.
func lasts(bytes int, rate int64) time.Duration {
	if rate == 0 {
		return 0
	}
	return time.Duration(float64(bytes) * 8 / float64(rate) * float64(time.Second))
}
