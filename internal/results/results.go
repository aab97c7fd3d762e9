// Package results keeps the records of a comparison, as JSON lines, and makes the
// figures from them: a row for each strategy, op, ctx, network and timeout, with a
// figure for each column.
//
// Every figure comes from the records: a table right after a run and a table from
// a file a year later are made the same way. Columns is the one list of columns:
// every table, expression and picture takes names, units and sentences from it. A
// figure that nobody could see is nil, never 0. A percentile is the nearest rank.
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
	Interrupted bool   // by a signal
}

// Key tells a row from the others.
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
	Family    string   // of the strategy
	Unbounded bool     // the strategy ignores the timeout
	Place     int      // of the strategy in the lab's order
	Backend   string   // its name in a sentence, "" where there is none
	Calls     int      // that a run makes, at once; 0 is not known
	Own       string   // the name of the own call that the op makes, "" where it makes none
	Alone     *float64 // milliseconds that the own call takes while nothing else goes on
	Floor     bool
	Driver    string
	RoundTrip *float64  // milliseconds, measured through the network
	Delays    []float64 // milliseconds, as asked for
	Nominal   []float64 // milliseconds, of a call of each delay alone
	Figures   Figures   // the median of the repeats'
	Repeats   []Figures
	Answered  []float64 // of every request of the load, in milliseconds, sorted
	Took      []float64 // of every run that completed, by the lab's own clock, sorted
	TookFirst *float64  // the median of those of the first quarter of the first repeat
	TookLast  *float64  // of the last quarter
	Held      float64   // milliseconds, of all requests that timed out until their answer
	TimedOut  int       // runs of all repeats that timed out, by their receipts
	Seen      int       // those of them whose backend could be seen
	RanOn     int       // those of Seen whose backend worked on for more than 5 ms
	Values    Values    // the fewest of a repeat
	Slow      Lane      // of the calls of the longest delay
	Timeline  Timeline  // of the first repeat
	Notes     []string  // sentences about anything that didn't go as planned
}

// Values are how many values the percentiles of a cell are of.
type Values struct{ Answered, Overshoot, Straggle, Probe int }

// Of is how many values a figure is of that is a percentile; of another it is 0.
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

// fewer has the fewer of each.
func (v Values) fewer(than Values) Values {
	return Values{min(v.Answered, than.Answered), min(v.Overshoot, than.Overshoot), min(v.Straggle, than.Straggle), min(v.Probe, than.Probe)}
}

// Lane is the median of three times, in milliseconds; nil is not known.
type Lane struct{ Answered, Ended, BackendEnded *float64 }

// Timeline has the samples of a cell.
type Timeline struct {
	Samples  []Sample
	Answered float64 // when the last request had its answer
	Drained  float64 // when nothing went on any more
}

// Figure returns the figure of the column of a name, nil where it is not known.
func (r *Row) Figure(name string) *float64 {
	place, ok := Lookup(name)
	if !ok {
		panic("results: no column " + name)
	}
	return r.Figures[place]
}

// Row returns the row of a cell, nil where none has ended.
func (r *Results) Row(of Cell) *Row {
	for _, row := range r.Rows {
		if row.Key == keyOf(of) && row.Floor == of.Floor {
			return row
		}
	}
	return nil
}

func keyOf(c Cell) Key { return Key{c.Strategy, c.Op, c.Ctx, c.Network, c.Timeout} }

// Group is the rows that differ in their strategies alone, and their floor.
type Group struct {
	Key   // without a strategy
	Rows  []*Row
	Floor *Row // nil where there is none
}

// Groups returns the rows in groups, without those of the floor.
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
