package network

import (
	"math"
	"time"

	"gotimeout/internal/badnet"
)

// The sizes of the packets that ask and answer.
const (
	dialPacket = 60 // a SYN and its answer, with the options of Linux
	fullPacket = 1500
	tinyPacket = 20 + 8 + stampSize
)

// schedule is how round trips are measured. They are so far apart that none
// waits behind another's jitter, or for the rate; however long they take, all
// are under way at once.
type schedule struct {
	dials, probes int
	gap           time.Duration
	dial, trip    time.Duration // asked: the delays, and what a rate takes for such packets
	patience      time.Duration // after which none comes back any more
	vague         bool          // each differs, so that the mean is judged
	settle        time.Duration // until the goodbyes of the dials are through
	deviation     float64       // of one from that, in milliseconds
}

func scheduleOf(p badnet.Profile) schedule {
	s := schedule{gap: 5 * time.Millisecond, patience: 300 * time.Millisecond}
	loses, squares := false, 0.
	for _, l := range []badnet.Link{p.Up, p.Down} {
		mean := l.Delay - time.Duration(l.Reorder*float64(l.Delay))
		s.dial += mean + lasts(dialPacket, l.Rate)
		s.trip += mean + lasts(probePacket, l.Rate)
		s.patience += latest(l) + 2*lasts(dialPacket, l.Rate)
		s.gap = max(s.gap, apart(l), 2*lasts(dialPacket, l.Rate))
		squares += variance(l)
		s.vague = s.vague || l.Jitter > 0 || l.Reorder > 0
		loses = loses || l.Loss > 0 || l.Limit > 0
	}
	s.deviation = math.Sqrt(squares)
	if loses {
		// A dial whose packet was lost is tried again after a second, and tells
		// of TCP and not of the delay.
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

// apart is how far two packets have to be from each other so that jitter, which
// keeps their order, lets neither wait, on the way back either.
func apart(l badnet.Link) time.Duration {
	if l.Distribution == badnet.Uniform {
		return 4 * l.Jitter
	}
	return 8 * l.Jitter
}

// latest is how long a packet takes at most, once it is sent.
func latest(l badnet.Link) time.Duration {
	if l.Distribution == badnet.Uniform {
		return l.Delay + l.Jitter
	}
	return l.Delay + 10*l.Jitter
}

// variance is that of a delay in square milliseconds: a share of the packets has
// none, and the others have their jitter.
func variance(l badnet.Link) float64 {
	ms := float64(time.Millisecond)
	delay, jitter := float64(l.Delay)/ms, float64(l.Jitter)/ms
	if l.Distribution == badnet.Uniform {
		jitter /= math.Sqrt(3)
	}
	return l.Reorder*(1-l.Reorder)*delay*delay + (1-l.Reorder)*jitter*jitter
}

// lasts is how long a rate takes for so many bytes.
func lasts(bytes int, rate int64) time.Duration {
	if rate == 0 {
		return 0
	}
	return time.Duration(float64(bytes) * 8 / float64(rate) * float64(time.Second))
}
