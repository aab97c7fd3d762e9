// Package results keeps the records of a comparison, as JSON lines, and makes the
// figures from them: a row for each strategy, op, ctx, network and timeout, with a
// figure for each column.
//
// Every figure comes from the records, so a table right after a run and a table from a
// file a year later are made the same way. Columns is the one list of columns: every
// table, condition and picture takes names, units and sentences from it. An unknown figure
// is nil, never 0. A percentile is the nearest rank.
//
// A Recommendation of a timeout is made from the same rows.
//
// The package runs nothing and draws nothing.
package results

import (
	"slices"
)

// WrongAnswer is the code of a call that got the answer to another call's question.
const WrongAnswer = "wrong_answer"

// NoAnswer is the code of a request without an answer: the connection broke, or
// the wait for the answer was over.
const NoAnswer = "no_answer"

// FloorName is the strategy of a floor: the baseline under calls that end in time.
const FloorName = "floor"

// Results are the results of a comparison.
type Results struct {
	Run         Run
	Rows        []*Row // in the order of their first cells
	Complete    bool   // the comparison came to its end
	Interrupted bool   // a signal interrupted the comparison
}

// Key identifies a row.
type Key struct {
	Strategy string
	Op       string
	Ctx      string
	Network  string
	Timeout  float64 // in milliseconds
}

// Row is a strategy on an op, in one or several repeats.
type Row struct {
	Key
	Family    string   // the strategy's family
	Unbounded bool     // the strategy ignores the timeout
	Place     int      // the strategy's place in the lab's order
	Backend   string   // the backend's name in a sentence; "" is none
	Calls     int      // how many calls a run makes at once; 0 is not known
	Own       string   // the name of the own call that the op makes; "" is none
	Alone     *float64 // how long the own call takes alone, in milliseconds
	Floor     bool
	Driver    string
	RoundTrip *float64  // milliseconds, measured through the network
	Delays    []float64 // milliseconds, as asked for
	Nominal   []float64 // milliseconds, the time of a call of each delay alone
	Figures   Figures   // the medians over the repeats
	Repeats   []Figures
	Answered  []float64 // the times of all requests of the load, in milliseconds, sorted
	Overshoot []float64 // answered − timeout of all requests that were answered after the timeout, sorted
	Straggle  []float64 // the straggles of all runs whose end is known, sorted
	Probed    []float64 // the times of all clean calls after the load, sorted
	Took      []float64 // the times of all runs that completed, by the lab's clock, sorted
	TookFirst *float64  // the median of Took in the first quarter of the first repeat
	TookLast  *float64  // the median of Took in its last quarter
	Held      float64   // milliseconds, the sum of the times of all requests that timed out
	TimedOut  int       // the runs of all repeats that timed out, by their receipts
	Seen      int       // the runs of TimedOut whose backend could be seen
	RanOn     int       // the runs of Seen whose backend worked on for more than 5 ms
	Values    Values    // the fewest values of a repeat
	Slow      Lane      // the medians of the calls with the longest delay
	Timeline  Timeline  // the timeline of the first repeat
	Notes     []string  // sentences about anything that didn't go as planned
}

// Values has the number of values of the percentiles of a cell.
type Values struct{ Answered, Overshoot, Straggle, Probe int }

// Of returns the number of values of a percentile, or 0 for another figure.
func (v Values) Of(place int) int {
	switch place {
	case AnsweredP50, AnsweredP99, AnsweredMax, SentLateP99:
		return v.Answered
	case OvershootP50, OvershootP99, OvershootMax:
		return v.Overshoot
	case StraggleP99:
		return v.Straggle
	case ProbeP50, ProbeP99:
		return v.Probe
	}
	return 0
}

// fewer returns the lower number of each.
func (v Values) fewer(than Values) Values {
	return Values{min(v.Answered, than.Answered), min(v.Overshoot, than.Overshoot), min(v.Straggle, than.Straggle), min(v.Probe, than.Probe)}
}

// Lane is the median of three times, in milliseconds; nil is not known.
type Lane struct{ Answered, Ended, BackendEnded *float64 }

// Timeline has the samples of a cell.
type Timeline struct {
	Samples  []Sample
	Answered float64 // when the last request had its answer
	Drained  float64 // when all work had ended
}

// Figure returns the figure of the named column, or nil if it is not known.
func (r *Row) Figure(name string) *float64 {
	place, ok := Lookup(name)
	if !ok {
		panic("results: no column " + name)
	}
	return r.Figures[place]
}

// Row returns the row of a cell, or nil if none of its cells has ended.
func (r *Results) Row(of Cell) *Row {
	for _, row := range r.Rows {
		if row.Key == keyOf(of) && row.Floor == of.Floor {
			return row
		}
	}
	return nil
}

func keyOf(c Cell) Key { return Key{c.Strategy, c.Op, c.Ctx, c.Network, c.Timeout} }

// Group has the rows that differ only in their strategies, and their floor.
type Group struct {
	Key   // without a strategy
	Rows  []*Row
	Floor *Row // nil without a floor
}

// Groups returns the rows in groups. The rows of the floor are not in them.
func (r *Results) Groups() (groups []*Group) {
	for _, row := range r.Rows {
		if row.Floor {
			continue
		}
		key := row.Key
		key.Strategy = ""
		i := slices.IndexFunc(groups, func(g *Group) bool { return g.Key == key })
		if i < 0 {
			i = len(groups)
			groups = append(groups, &Group{Key: key, Floor: r.floor(row.Op)})
		}
		groups[i].Rows = append(groups[i].Rows, row)
	}
	return groups
}

func (r *Results) floor(op string) *Row {
	for _, row := range r.Rows {
		if row.Floor && row.Op == op {
			return row
		}
	}
	return nil
}
