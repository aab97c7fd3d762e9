package results

import (
	"cmp"
	"errors"
	"math"
	"slices"

	"gotimeout/internal/stats"
	"gotimeout/strategies"
)

// SampleName is the name of the strategy of samples and floors: the first one that
// ignores its timeout.
func SampleName() string {
	all := strategies.All()
	return all[slices.IndexFunc(all, func(s strategies.Strategy) bool { return s.Unbounded })].Name
}

// Recommendation is the timeout for a share of false timeouts, which cut calls that
// would have completed. It is made from a row of the baseline, the sample, and from
// rows of strategies at timeouts around the recommended one, the sweep.
type Recommendation struct {
	Of      *Results // what it is made of
	Sample  *Row
	Target  float64   // the share, from 0 to 1
	Timeout float64   // cuts no more of the sample than that, in whole milliseconds
	Low     float64   // of the 95% interval of the timeout
	High    *float64  // nil where the sample is too small to tell
	Sweep   []Swept   // by timeout, and then as they were run
	Verdict []Verdict // of each strategy of the sweep
}

// ErrNoSample says that results have no sample to recommend a timeout from.
var ErrNoSample = errors.New("no call of the baseline completed, so there is no sample to recommend a timeout from")

// Recommend finds the timeout that cuts no more than a share of the calls that
// would have completed, from 0 to 1, both excluded. It is of the first row of
// the baseline, and returns ErrNoSample where there is none with a call that
// completed.
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

// Timeouts are those worth a sweep, in whole milliseconds, the least first: at
// the median, where nine tenths and where 99% of the sample end, the recommended
// one, the upper end of its interval, a round trip more, which is what a call
// takes that must dial, and twice the recommended.
func (r *Recommendation) Timeouts() []float64 {
	all := []float64{r.Timeout, 2 * r.Timeout}
	for _, percent := range []float64{50, 90, 99} {
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
	Unbound bool    // it cut hardly any of the calls that took longer than a timeout
	At      Swept   // what it did at the recommended timeout
	Needs   int     // unclear: so many requests would tell, if the share stays as it is
	From    *Swept  // at the least timeout, the recommended one or over it, at which it reaches the target; nil where none did
	Longest float64 // the longest timeout that was tried
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

// over is what a strategy did at the recommended timeout and over it, by timeout.
func (r *Recommendation) over(strategy string) (all []Swept) {
	for _, s := range r.Sweep {
		if s.Strategy == strategy && s.Timeout >= r.Timeout {
			all = append(all, s)
		}
	}
	return all
}

// Next is the timeout at which to try a strategy next, up to a longest one: between the
// last that missed the target and the first that reached it, until they are a tenth
// apart, or twice the last where none reached it. more is false where nothing is left
// to try.
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

// An interval is of 95%: 2.5% lie under it, and 2.5% above, where a normal
// variable is z standard deviations off.
const (
	outside = 0.025
	z       = 1.959963984540054
)

// Wilson returns the 95% interval of a share that was seen count times of n:
// E. B. Wilson, "Probable inference, the law of succession, and statistical
// inference", 1927. Unlike the textbook's it is good near 0 and for few.
func Wilson(count, n int) (low, high float64) {
	if n == 0 {
		return 0, 1
	}
	of, seen := float64(n), float64(count)/float64(n)
	middle := seen + z*z/(2*of)
	half := z * math.Sqrt(seen*(1-seen)/of+z*z/(4*of*of))
	scale := 1 + z*z/of
	low, high = (middle-half)/scale, (middle+half)/scale
	switch count { // where rounding would leave a trace
	case 0:
		low = 0
	case n:
		high = 1
	}
	return low, high
}

// Tells returns how many requests it takes until Wilson's interval of the share
// that was seen leaves out another share.
func Tells(seen, other float64) int {
	return int(math.Ceil(z * z * other * (1 - other) / ((seen - other) * (seen - other))))
}

// SampleSize is the least sample from which a timeout for a share of false
// timeouts can be told with its whole 95% interval: in a smaller one too often
// not even the longest time is over it.
func SampleSize(share float64) int {
	return int(math.Ceil(math.Log(outside) / math.Log1p(-share)))
}

// ranks returns which of n sorted times, from 1, are the ends of the 95%
// interval of what all but a share of the times don't exceed, whatever their
// distribution: so many of n are under it as a binomial variable says. low is 0
// and high n+1 where n is too small.
func ranks(n int, share float64) (low, high int) {
	low = -1
	logP, odds := float64(n)*math.Log(share), math.Log1p(-share)-math.Log(share) // of none under it
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
