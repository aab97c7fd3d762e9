package results

import (
	"cmp"
	"errors"
	"math"
	"slices"
)

// SampleName is the strategy of a sample: the baseline, which waits for
// whatever it is.
const SampleName = "baseline"

// Recommendation is a timeout for a share of false timeouts: of calls that would
// have completed. It is made of a row of the baseline, the sample, and of rows
// of strategies at timeouts around it, the sweep.
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

// ErrNoSample is the error of results from which no timeout can be recommended.
var ErrNoSample = errors.New("no call of the baseline completed, from which a timeout could be told")

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
	rec.Timeout = whole(Percentile(times, 100*(1-share)))
	rec.Low = whole(times[max(1, low)-1])
	if high <= len(times) {
		end := whole(times[high-1])
		rec.High = &end
	}
	for _, row := range r.Rows {
		if row.Strategy != SampleName && !row.Floor && row.Op == sample.Op && row.Ctx == sample.Ctx && row.Network == sample.Network {
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
		if row.Strategy == SampleName && !row.Floor && len(row.Took) > 0 {
			return row
		}
	}
	return nil
}

// whole is a timeout that is no shorter, in whole milliseconds.
func whole(ms float64) float64 { return max(1, math.Ceil(ms)) }

// Timeouts are those worth a sweep, in whole milliseconds, the least first: at
// the median, where nine tenths and where 99% of the sample end, the recommended
// one, the upper end of its interval, a round trip more, which is what a call
// takes that must dial, and twice the recommended.
func (r *Recommendation) Timeouts() []float64 {
	all := []float64{r.Timeout, 2 * r.Timeout}
	for _, percent := range []float64{50, 90, 99} {
		all = append(all, whole(Percentile(r.Sample.Took, percent)))
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
