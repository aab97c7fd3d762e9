package results

import (
	"cmp"
	"maps"
	"slices"
)

// noise is by how much, in milliseconds, a time must exceed another to count.
const noise = 5

// cell is what has been recorded of a cell that has not ended.
type cell struct {
	Cell
	callsARun                             int // 0 is not known
	requests, completed, timedOut, failed int
	falseTimeouts, late, wrong, noAnswer  int
	refused                               map[string]int // by code
	answered, overshoot, sentLate         []float64      // a request each
	held                                  float64        // milliseconds, by timeouts
	probes                                []float64
	probeFailures                         int

	took                []run     // that completed
	straggles, wastes   []float64 // a receipt each that knows
	ranOn, timedOutSeen int       // of those that timed out
	receipts            int       // the warm-up's as well, and so the next three
	dialed, rsts        int
	calls               []edge       // of runs that used a connection
	slow                [3][]float64 // answered, ended, backend ended, of the longest delay

	samples []Sample
}

// run is when one began, and how long it took.
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

// edge is when a run began, +1, or ended, -1.
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
	switch r.Status {
	case "completed":
		c.completed++
		if c.Floor {
			c.overshoot = append(c.overshoot, r.Answered-r.Delay)
		} else if r.Answered > c.Timeout+noise {
			c.late++
		}
	case "timed_out":
		c.timedOut++
		c.held += r.Answered
		c.overshoot = append(c.overshoot, r.Answered-c.Timeout)
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

// refusal is the code with which most were refused.
func (c *cell) refusal() string {
	codes := slices.Sorted(maps.Keys(c.refused))
	code := slices.MaxFunc(codes, func(a, b string) int { return cmp.Compare(c.refused[a], c.refused[b]) })
	if len(codes) > 1 {
		return "mostly " + code
	}
	return code
}
