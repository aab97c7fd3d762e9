package results

import (
	"cmp"
	"errors"
	"math"
	"slices"

	"gotimeout/internal/stats"
	"gotimeout/strategies"
)

// SampleName returns the name of the strategy of samples and floors: the first strategy that
// ignores its timeout.
func SampleName() string {
	all := strategies.All()
	return all[slices.IndexFunc(all, func(s strategies.Strategy) bool { return s.Unbounded })].Name
}

// Recommendation is the timeout for a share of false timeouts, which cut calls that
// would have completed. It is made from the sample, which is a row of the baseline, and
// from the sweep, which are rows of strategies at timeouts around the recommended one.
type Recommendation struct {
	Of      *Results // the results with the sample and the sweep
	Sample  *Row
	Target  float64   // the share, from 0 to 1
	Timeout float64   // the least timeout that cuts at most Target of the sample, in whole milliseconds
	Low     float64   // the lower end of the timeout's 95% interval
	High    *float64  // the upper end; nil if the sample is too small to tell
	Sweep   []Swept   // in the order of the timeouts, then of the runs
	Verdict []Verdict // one for each strategy of the sweep
}

// ErrNoSample is the error for results without a sample.
var ErrNoSample = errors.New("no call of the baseline completed, so there is no sample to recommend a timeout from")

// Recommend finds the timeout that cuts no more than a share of the calls that would have
// completed; the share is between 0 and 1, both excluded. The sample is the first row of
// the baseline. If no row of the baseline has a completed call, the error is ErrNoSample.
func Recommend(r *Results, share float64) (*Recommendation, error) {
	sample := r.sample()
	if sample == nil {
		return nil, ErrNoSample
	}
	times := sample.Took
	low, high := ranks(len(times), share)
	rec := &Recommendation{Of: r, Sample: sample, Target: share}
	rec.Timeout = whole(stats.Percentile(times, 100*(1-share)))
	rec.Low = whole(times[max(1, low)-1])
	if high <= len(times) {
		end := whole(times[high-1])
		rec.High = &end
	}
	for _, row := range r.Rows {
		if row.Strategy != SampleName() && !row.Floor && row.Op == sample.Op && row.Ctx == sample.Ctx && row.Network == sample.Network {
			if s := row.swept(); s.Requests > 0 {
				rec.Sweep = append(rec.Sweep, s)
			}
		}
	}
	slices.SortStableFunc(rec.Sweep, func(a, b Swept) int { return cmp.Compare(a.Timeout, b.Timeout) })
	for _, s := range rec.Sweep {
		if s.Timeout == rec.Timeout {
			rec.Verdict = append(rec.Verdict, rec.verdict(s))
		}
	}
	return rec, nil
}

func (r *Results) sample() *Row {
	for _, row := range r.Rows {
		if row.Strategy == SampleName() && !row.Floor && len(row.Took) > 0 {
			return row
		}
	}
	return nil
}

// whole rounds a timeout up to whole milliseconds.
func whole(ms float64) float64 { return max(1, math.Ceil(ms)) }

// Timeouts returns the timeouts of a sweep, in whole milliseconds, the least first: half the
// p50 of the sample, which nearly every call exceeds, so that a strategy that doesn't bind is
// seen, its p90 and p99, the recommended timeout, the upper end of its interval, a
// round trip more, because a call that must dial takes so much longer, and twice the
// recommended timeout.
func (r *Recommendation) Timeouts() []float64 {
	all := []float64{whole(stats.Percentile(r.Sample.Took, 50) / 2), r.Timeout, 2 * r.Timeout}
	for _, percent := range []float64{90, 99} {
		all = append(all, whole(stats.Percentile(r.Sample.Took, percent)))
	}
	if r.High != nil {
		all = append(all, *r.High)
	}
	if trip := r.Sample.RoundTrip; trip != nil && *trip >= 1 {
		all = append(all, whole(r.Timeout+*trip))
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// Swept has the figures of a strategy at one timeout. A share is a part of the requests
// that were run, from 0 to 1.
type Swept struct {
	Strategy  string
	Timeout   float64  // milliseconds
	Requests  int      // the requests that were run
	TimedOut  int      // the requests that timed out; their calls would have completed
	Failed    int      // the requests that failed otherwise or were refused
	Share     float64  // the share of TimedOut
	Low, High float64  // the 95% interval of Share
	Dials     int      // connections opened, also in the warm-up
	Waste     *float64 // seconds that backends worked for nobody, per 1,000 requests
	Held      float64  // seconds that callers waited for a timeout, per 1,000 requests
}

// Outcome is how a strategy does at the recommended timeout.
type Outcome string

// The outcomes.
const (
	Reaches Outcome = "reaches" // it cuts no more than the target
	Misses  Outcome = "misses"  // it cuts more, and not by chance
	Unclear Outcome = "unclear" // it cuts more, perhaps by chance
)

// Verdict is the verdict on a strategy.
type Verdict struct {
	Outcome
	Unbound bool    // it cut hardly any of the calls that took longer than a timeout, or answered them at their ends
	At      Swept   // its figures at the recommended timeout
	Needs   int     // if unclear: how many requests would tell, if the share stays the same
	From    *Swept  // its figures at the least timeout, from the recommended one on, at which it reaches the target; nil if it never does
	Longest float64 // the longest timeout that was tried
}

// swept counts over all repeats.
func (r *Row) swept() Swept {
	count := func(place int) (n int) {
		for _, f := range r.Repeats {
			if f[place] != nil { // a lab that died has no figures of connections
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
		s.Held = r.Held / float64(s.Requests) // milliseconds a request are seconds per 1,000 requests
	}
	s.Low, s.High = Wilson(s.TimedOut, s.Requests)
	return s
}

func (r *Recommendation) verdict(at Swept) Verdict {
	v := Verdict{Outcome: Reaches, Unbound: r.unbound(at.Strategy), At: at}
	for _, s := range r.over(at.Strategy) {
		if v.Longest = s.Timeout; v.From == nil && s.Share <= r.Target {
			v.From = &s
		}
	}
	switch {
	case at.Share <= r.Target:
	case at.Low > r.Target:
		v.Outcome = Misses
	default:
		v.Outcome, v.Needs = Unclear, Tells(at.Share, r.Target)
	}
	return v
}

// over returns the figures of a strategy at the recommended timeout and over it, by timeout.
func (r *Recommendation) over(strategy string) (all []Swept) {
	for _, s := range r.Sweep {
		if s.Strategy == strategy && s.Timeout >= r.Timeout {
			all = append(all, s)
		}
	}
	return all
}

// Next returns the timeout at which to try a strategy next, at most longest. It is between
// the last timeout that missed the target and the first that reached it, until they are a
// tenth apart; if none reached the target, it is twice the last. more is false if there is
// no timeout left to try.
func (r *Recommendation) Next(strategy string, longest float64) (timeout float64, more bool) {
	const near = 1.1
	missed := 0.0
	for _, s := range r.over(strategy) {
		if s.Share > r.Target {
			missed = s.Timeout
			continue
		}
		between := whole(math.Sqrt(missed * s.Timeout))
		return between, missed > 0 && s.Timeout > near*missed && between > missed && between < s.Timeout
	}
	return min(2*missed, longest), missed > 0 && missed < longest
}

// unbound reports whether a strategy cut far fewer calls than the sample says, or answered
// those that it cut no sooner than without a timeout.
func (r *Recommendation) unbound(strategy string) bool {
	const tells = 20
	cut, over, half := 0.0, 0.0, stats.Percentile(r.Sample.Took, 50)
	for _, s := range r.Sweep {
		if s.Strategy == strategy {
			if waited := s.Held * float64(s.Requests); s.Timeout <= whole(half/2) && s.TimedOut >= tells && waited >= half*float64(s.TimedOut) {
				return true
			}
			cut += float64(s.TimedOut)
			over += float64(s.Requests) * ShareOver(r.Sample.Took, s.Timeout)
		}
	}
	return over >= tells && cut < over/10
}

// ShareOver returns the share of sorted times that a timeout would cut.
func ShareOver(times []float64, timeout float64) float64 {
	n, _ := slices.BinarySearch(times, math.Nextafter(timeout, math.Inf(1)))
	return float64(len(times)-n) / float64(len(times))
}

// An interval is of 95%: 2.5% of the cases lie under it and 2.5% above. z is the number of
// standard deviations for that.
const (
	outside = 0.025
	z       = 1.959963984540054
)

// Wilson returns the 95% interval of a share that was seen count times of n:
// E. B. Wilson, "Probable inference, the law of succession, and statistical
// inference", 1927. Unlike the textbooks' interval it is good near 0 and for few values.
func Wilson(count, n int) (low, high float64) {
	if n == 0 {
		return 0, 1
	}
	of, seen := float64(n), float64(count)/float64(n)
	middle := seen + z*z/(2*of)
	half := z * math.Sqrt(seen*(1-seen)/of+z*z/(4*of*of))
	scale := 1 + z*z/of
	low, high = (middle-half)/scale, (middle+half)/scale
	switch count { // exact ends, without an error of rounding
	case 0:
		low = 0
	case n:
		high = 1
	}
	return low, high
}

// Tells returns the least number of requests for which Wilson's interval of the seen share
// excludes the other share.
func Tells(seen, other float64) int {
	return int(math.Ceil(z * z * other * (1 - other) / ((seen - other) * (seen - other))))
}

// SampleSize is the least sample for the whole 95% interval of a timeout with a share of
// false timeouts. In a smaller sample, too often not even the longest time is above the
// timeout.
func SampleSize(share float64) int {
	return int(math.Ceil(math.Log(outside) / math.Log1p(-share)))
}

// ranks returns the ranks, from 1, of the two of n sorted times that are the ends of the
// 95% interval of a quantile, for any distribution: the quantile that only a share of the
// times exceeds. The number of times under it is a binomial variable. low is 0 and high is
// n+1 if n is too small.
func ranks(n int, share float64) (low, high int) {
	low = -1
	logP, odds := float64(n)*math.Log(share), math.Log1p(-share)-math.Log(share) // the probability that no time is under it
	cumulative := 0.0
	for k := 0; k <= n; k++ {
		cumulative += math.Exp(logP)
		if low < 0 && cumulative > outside {
			low = k
		}
		if cumulative >= 1-outside {
			return low, k + 1
		}
		logP += math.Log(float64(n-k)) - math.Log(float64(k+1)) + odds
	}
	return max(low, 0), n + 1
}
