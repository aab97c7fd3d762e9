package results

import (
	"cmp"
	"maps"
	"math"
	"slices"

	"gotimeout/internal/stats"
)

// noise is how many milliseconds a time must exceed another one by, to count.
const noise = 5

// cell collects the records of a cell until the cell ends.
type cell struct {
	Cell
	unbounded                             bool // the strategy ignores the timeout
	callsARun                             int  // 0 is not known
	requests, completed, timedOut, failed int
	falseTimeouts, late, wrong, noAnswer  int
	refused                               map[string]int // by code
	answered, overshoot, sentLate         []float64      // a request each
	held                                  float64        // milliseconds, by timeouts
	probes                                []float64
	probeFailures                         int

	took                []run     // that completed
	straggles, wastes   []float64 // a receipt each that knows
	timedOutRuns        int       // receipts that timed out
	ranOn, timedOutSeen int       // of those
	receipts            int       // the warm-up's as well, and so the next three
	dialed, rsts        int
	calls               []edge       // of runs that used a connection
	slow                [3][]float64 // answered, ended, backend ended, of the longest delay

	samples []Sample
}

// run is when a run began, and how long it took.
type run struct{ at, took float64 }

// quarters returns the medians of the first and of the last quarter of runs.
func quarters(runs []run) (first, last *float64) {
	slices.SortFunc(runs, func(a, b run) int { return cmp.Compare(a.at, b.at) })
	n := len(runs) / 4
	return median(took(runs[:n])), median(took(runs[len(runs)-n:]))
}

func took(runs []run) []float64 {
	all := make([]float64, len(runs))
	for i, r := range runs {
		all[i] = r.took
	}
	return all
}

// edge is a time at which a run began (+1) or ended (-1).
type edge struct {
	at   float64
	step int
}

func (c *cell) request(r Request) {
	if r.Code == WrongAnswer {
		c.wrong++
	}
	if r.Phase == Probe {
		c.probes = append(c.probes, r.Answered)
		if r.Status != "completed" {
			c.probeFailures++
		}
		return
	}
	c.requests++
	c.answered = append(c.answered, r.Answered)
	c.sentLate = append(c.sentLate, r.Late)
	switch {
	case c.Floor && r.Status == "completed":
		c.overshoot = append(c.overshoot, r.Answered-r.Delay)
	case !c.Floor && !c.unbounded && r.exceeds(c.Timeout):
		c.overshoot = append(c.overshoot, r.Answered-c.Timeout)
	}
	switch r.Status {
	case "completed", "accepted":
		c.completed++
	case "timed_out":
		c.timedOut++
		c.held += r.Answered
		if i := slices.Index(c.Delays, r.Delay); i >= 0 && i < len(c.Nominal) && c.Nominal[i] < c.Timeout {
			c.falseTimeouts++
		}
	case "refused":
		c.refused[r.Code]++
	default:
		c.failed++
		if r.Code == NoAnswer {
			c.noAnswer++
		}
	}
}

// exceeds tells whether the request was answered at the timeout or later. How
// late it was sent is no doing of the lab's.
func (r Request) exceeds(timeout float64) bool {
	return r.Status != "refused" && r.Code != NoAnswer && (r.Status == "timed_out" || r.Answered-r.Late >= timeout)
}

func (c *cell) receipt(r Receipt) {
	if r.Phase == Probe {
		return
	}
	c.receipts++
	c.dialed += r.Dialed
	c.rsts += r.RST
	if r.Dialed+r.Reused > 0 {
		c.calls = append(c.calls, edge{r.Started, 1})
		if r.Ended != nil {
			c.calls = append(c.calls, edge{r.Started + *r.Ended, -1})
		}
	}
	if r.Phase == WarmUp {
		return
	}
	if r.Status == "completed" {
		c.took = append(c.took, run{r.Started, r.Answered})
		if !c.Floor && r.Answered > c.Timeout+noise { // by the lab's clock: the generator's own delay is no doing of the bound
			c.late++
		}
	}
	if r.Status == "timed_out" {
		c.timedOutRuns++
	}
	if r.Straggle != nil {
		c.straggles = append(c.straggles, *r.Straggle)
	}
	if r.Waste != nil {
		c.wastes = append(c.wastes, *r.Waste)
		if r.Status == "timed_out" {
			c.timedOutSeen++
			if *r.Waste > noise {
				c.ranOn++
			}
		}
	}
	if r.Delay == slices.Max(c.Delays) {
		for i, at := range []*float64{&r.Answered, r.Ended, r.BackendEnded} {
			if at != nil {
				c.slow[i] = append(c.slow[i], *at)
			}
		}
	}
}

// refusals is how many requests were refused.
func (c *cell) refusals() (n int) {
	for _, of := range c.refused {
		n += of
	}
	return n
}

// refusal is the code with which the lab refused most of them.
func (c *cell) refusal() string {
	codes := slices.Sorted(maps.Keys(c.refused))
	code := slices.MaxFunc(codes, func(a, b string) int { return cmp.Compare(c.refused[a], c.refused[b]) })
	if len(codes) > 1 {
		return "mostly " + code
	}
	return code
}

// figures makes the figures of a cell that has ended.
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
	if len(c.took) > 0 || c.completed == 0 || c.Floor { // else nobody could look
		f.count(Late, c.late)
	}
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
			f.set(DrainTime, max(0, end.Drained-end.Answered)) // two clocks differ by microseconds
		}
	}
	if c.receipts > 0 {
		f.count(ConnectionsOpened, c.dialed)
		f.count(RSTs, c.rsts)
	}
	if len(c.calls) > 0 && c.callsARun <= 1 {
		f.count(ConnectionsIdeal, c.ideal())
	}
	f.count(WrongAnswers, c.wrong)
	if len(c.probes) > 0 {
		slices.Sort(c.probes)
		f.count(ProbeFailures, c.probeFailures)
		f.percentiles(c.probes, ProbeP50, ProbeP99, -1)
	}
	slices.Sort(c.sentLate)
	f.percentiles(c.sentLate, -1, SentLateP99, -1)
	c.sampled(&f)
	return f
}

// sampled sets the figures that come from samples.
func (c *cell) sampled(f *Figures) {
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

// sample is the first sample of a phase, or nil.
func (c *cell) sample(phase string) *Sample {
	i := slices.IndexFunc(c.samples, func(s Sample) bool { return s.Phase == phase })
	if i < 0 {
		return nil
	}
	return &c.samples[i]
}

// set rounds to a thousandth, as the records do with milliseconds.
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

// percentiles sets the percentiles that have a place. sorted may be empty.
func (f *Figures) percentiles(sorted []float64, p50, p99, longest int) {
	if len(sorted) == 0 {
		return
	}
	for p, place := range map[float64]int{50: p50, 99: p99, 100: longest} {
		if place >= 0 {
			f.set(place, stats.Percentile(sorted, p))
		}
	}
}

// ideal is how many connections would have done: the most runs at once that used
// one. A run lasts a little longer than its use of the connection, so more than
// those that there were is none.
func (c *cell) ideal() int {
	n := most(c.calls)
	if before := c.sample(Before); before != nil && before.Connections != nil {
		n = min(n, c.dialed+*before.Connections)
	}
	return n
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
