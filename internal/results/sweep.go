package results

import (
	"math"
	"slices"
)

// Swept is what a strategy did at a timeout. A share is of the requests that
// were run, from 0 to 1.
type Swept struct {
	Strategy  string
	Timeout   float64  // milliseconds
	Requests  int      // that were run
	TimedOut  int      // each of them a call that would have completed
	Failed    int      // of anything else, or were refused
	Share     float64  // of TimedOut
	Low, High float64  // the 95% interval of Share
	Dials     int      // connections opened, those of the warm-up among them
	Waste     *float64 // seconds that backends worked for nobody, per 1,000 requests
	Held      float64  // seconds that callers waited for a timeout, per 1,000 requests
}

// Outcome is how a strategy does at the recommended timeout.
type Outcome string

// The outcomes.
const (
	Reaches Outcome = "reaches" // it cuts no more than the target
	Misses  Outcome = "misses"  // it cuts more, and that is no chance
	Unclear Outcome = "unclear" // it cuts more, and that may be chance
)

// Verdict is on a strategy.
type Verdict struct {
	Outcome
	Unbound bool     // it cut hardly any of the calls that took longer than a timeout
	At      Swept    // what it did at the recommended timeout
	Needs   int      // unclear: so many requests would tell, if the share stays as it is
	From    *float64 // the least timeout over the recommended one at which it reaches the target, nil where none did
}

// swept counts over all repeats.
func (r *Row) swept() Swept {
	count := func(place int) (n int) {
		for _, f := range r.Repeats {
			if f[place] != nil { // of a lab that was gone, there are no connections
				n += int(*f[place])
			}
		}
		return n
	}
	s := Swept{
		Strategy: r.Strategy, Timeout: r.Timeout,
		Requests: count(Requests) - count(Refused), TimedOut: count(TimedOut), Failed: count(Failed) + count(Refused),
		Dials: count(ConnectionsOpened),
		Waste: r.Figures[WastePer1000],
	}
	if s.Requests > 0 {
		s.Share = float64(s.TimedOut) / float64(s.Requests)
		s.Held = r.Held / float64(s.Requests) // milliseconds a request are seconds per 1,000
	}
	s.Low, s.High = Wilson(s.TimedOut, s.Requests)
	return s
}

func (r *Recommendation) verdict(at Swept) Verdict {
	v := Verdict{Outcome: Reaches, Unbound: r.unbound(at.Strategy), At: at}
	switch {
	case at.Share <= r.Target:
		return v
	case at.Low > r.Target:
		v.Outcome = Misses
	default:
		v.Outcome, v.Needs = Unclear, Tells(at.Share, r.Target)
	}
	for _, s := range r.Sweep {
		if s.Strategy == at.Strategy && s.Timeout > at.Timeout && s.Share <= r.Target {
			v.From = &s.Timeout
			break
		}
	}
	return v
}

// unbound compares what a strategy cut with what the sample says is to be cut.
func (r *Recommendation) unbound(strategy string) bool {
	cut, over := 0.0, 0.0
	for _, s := range r.Sweep {
		if s.Strategy == strategy {
			cut += float64(s.TimedOut)
			over += float64(s.Requests) * ShareOver(r.Sample.Took, s.Timeout)
		}
	}
	return over >= 20 && cut < over/10
}

// ShareOver returns the share of sorted times that a timeout would cut.
func ShareOver(times []float64, timeout float64) float64 {
	n, _ := slices.BinarySearch(times, math.Nextafter(timeout, math.Inf(1)))
	return float64(len(times)-n) / float64(len(times))
}
