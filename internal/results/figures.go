package results

import (
	"cmp"
	"math"
	"slices"
)

// figures are those of a cell that has ended.
func (c *cell) figures(end End) (f Figures) {
	slices.Sort(c.answered)
	f.count(Requests, c.requests)
	f.percentiles(c.answered, AnsweredP50, AnsweredP99, AnsweredMax)
	slices.Sort(c.overshoot)
	f.percentiles(c.overshoot, OvershootP50, OvershootP99, OvershootMax)
	f.count(Completed, c.completed)
	f.count(TimedOut, c.timedOut)
	f.count(Failed, c.failed)
	f.count(Refused, c.refusals())
	if len(c.Nominal) > 0 {
		f.count(FalseTimeouts, c.falseTimeouts)
	}
	f.count(Late, c.late)
	slices.Sort(c.straggles)
	f.percentiles(c.straggles, -1, StraggleP99, -1)
	if n := len(c.wastes); n > 0 {
		f.set(WastePer1000, sum(c.wastes)/float64(n))
	}
	if c.timedOutSeen > 0 {
		f.set(RanOnPercent, 100*float64(c.ranOn)/float64(c.timedOutSeen))
	}
	if end.Error == "" { // else nobody could look
		f.count(OpenReceipts, end.Open)
		if end.Open == 0 {
			f.set(DrainTime, end.Drained-end.Answered)
		}
	}
	if c.receipts > 0 {
		f.count(ConnectionsOpened, c.dialed)
		f.count(RSTs, c.rsts)
	}
	if len(c.calls) > 0 && c.callsARun <= 1 {
		f.count(ConnectionsIdeal, most(c.calls))
	}
	f.count(WrongAnswers, c.wrong)
	if len(c.probes) > 0 {
		slices.Sort(c.probes)
		f.count(ProbeFailures, c.probeFailures)
		f.percentiles(c.probes, ProbeP50, ProbeP99, -1)
	}
	slices.Sort(c.sentLate)
	f.percentiles(c.sentLate, -1, SentLateP99, -1)
	c.left(&f)
	return f
}

// left sets the figures that come of samples.
func (c *cell) left(f *Figures) {
	before, answered, after := c.sample(Before), c.sample(Answered), c.sample(After)
	if before != nil && answered != nil {
		f.difference(GoroutinesAnswered, &answered.Goroutines, &before.Goroutines)
	}
	if before != nil && after != nil {
		f.difference(GoroutinesLeft, &after.Goroutines, &before.Goroutines)
		f.difference(ConnectionsLeft, after.Connections, before.Connections)
	}
	began, drained := c.sample(Load), c.sample(Drained)
	if before != nil && drained != nil && before.TimeWait != nil && drained.TimeWait != nil && *drained.TimeWait >= *before.TimeWait {
		f.count(TimeWait, *drained.TimeWait-*before.TimeWait) // less than before: those of an earlier cell ended meanwhile
	}
	if began != nil && drained != nil && c.requests > 0 {
		f.set(CPUPerRequest, 1000*(drained.CPU-began.CPU)/float64(c.requests))
		f.set(AllocatedPerRequest, float64(drained.Allocated-began.Allocated)/float64(c.requests))
	}
}

// sample is the first of a phase, or nil.
func (c *cell) sample(phase string) *Sample {
	i := slices.IndexFunc(c.samples, func(s Sample) bool { return s.Phase == phase })
	if i < 0 {
		return nil
	}
	return &c.samples[i]
}

// set rounds to a thousandth: of a millisecond, it is what records have.
func (f *Figures) set(place int, v float64) {
	v = math.Round(v*1000) / 1000
	f[place] = &v
}

func (f *Figures) count(place, n int) { f.set(place, float64(n)) }

func (f *Figures) difference(place int, after, before *int) {
	if after != nil && before != nil {
		f.count(place, max(0, *after-*before))
	}
}

// percentiles sets those that have a place. sorted may be empty.
func (f *Figures) percentiles(sorted []float64, p50, p99, longest int) {
	if len(sorted) == 0 {
		return
	}
	for p, place := range map[float64]int{50: p50, 99: p99, 100: longest} {
		if place >= 0 {
			f.set(place, Percentile(sorted, p))
		}
	}
}

// Percentile returns the smallest value that p percent of the values, which are
// sorted, do not exceed.
func Percentile(sorted []float64, p float64) float64 {
	rank := int(math.Ceil(p * float64(len(sorted)) / 100))
	return sorted[max(1, rank)-1]
}

// most returns how many runs there were at once.
func most(calls []edge) int {
	slices.SortFunc(calls, func(a, b edge) int { return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.step, b.step)) })
	now, peak := 0, 0
	for _, e := range calls {
		now += e.step
		peak = max(peak, now)
	}
	return peak
}

func sum(values []float64) (total float64) {
	for _, v := range values {
		total += v
	}
	return total
}
