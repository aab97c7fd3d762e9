package results

import (
	"errors"
	"fmt"
	"slices"

	"gotimeout/internal/stats"
)

// Collector makes results from records as they come.
type Collector struct {
	results Results
	cells   map[int]*cell
	unnamed []string // the strategies that the run's first record doesn't name
}

// NewCollector returns a Collector without a record.
func NewCollector() *Collector { return &Collector{cells: map[int]*cell{}} }

// Results returns the results of the cells that have ended.
func (c *Collector) Results() *Results { return &c.results }

// Add takes the next record, and keeps no pointer to it. It fails on a record that no
// comparison writes in this place.
func (c *Collector) Add(record any) error {
	number := 0
	switch r := record.(type) {
	case *Run:
		return c.begin(*r)
	case *Done:
		c.results.Complete, c.results.Interrupted = !r.Interrupted, r.Interrupted
		return nil
	case *Cell:
		if len(r.Delays) == 0 || c.cells[r.Cell] != nil {
			return fmt.Errorf("cell %d has no delays, or begins twice", r.Cell)
		}
		strategy, _, op := c.results.Run.about(*r)
		c.cells[r.Cell] = &cell{Cell: *r, unbounded: strategy.Unbounded, callsARun: op.Calls, refused: map[string]int{}}
		return nil
	case *Request:
		number = r.Cell
	case *Receipt:
		number = r.Cell
	case *Sample:
		number = r.Cell
	case *End:
		number = r.Cell
	default:
		return fmt.Errorf("%T is no record", record)
	}
	of := c.cells[number]
	if of == nil {
		return fmt.Errorf("a record is of cell %d, which has not begun or has ended", number)
	}
	switch r := record.(type) {
	case *Request:
		of.request(*r)
	case *Receipt:
		of.receipt(*r)
	case *Sample:
		of.samples = append(of.samples, *r)
	case *End:
		delete(c.cells, number)
		c.end(of, *r)
	}
	return nil
}

func (c *Collector) begin(run Run) error {
	switch {
	case c.results.Run.Format != 0:
		return errors.New("a second comparison begins here: a file holds one")
	case run.Format != Format:
		return fmt.Errorf("the records are of format %d, this gotimeout reads %d: use the one that wrote them", run.Format, Format)
	}
	c.results.Run = run
	return nil
}

// end adds a cell to its row.
func (c *Collector) end(of *cell, end End) {
	row := c.row(of)
	row.note(of, end)
	if of.requests == 0 {
		return
	}
	row.Repeats = append(row.Repeats, of.figures(end))
	row.Figures = medians(row.Repeats)
	row.Answered = sorted(row.Answered, of.answered)
	row.Overshoot = sorted(row.Overshoot, of.overshoot)
	row.Straggle = sorted(row.Straggle, of.straggles)
	row.Probed = sorted(row.Probed, of.probes)
	row.Took = sorted(row.Took, took(of.took))
	row.Held += of.held
	row.TimedOut, row.Seen, row.RanOn = row.TimedOut+of.timedOutRuns, row.Seen+of.timedOutSeen, row.RanOn+of.ranOn
	values := Values{len(of.answered), len(of.overshoot), len(of.straggles), len(of.probes)}
	if len(row.Repeats) == 1 {
		row.Values = values
	}
	row.Values = row.Values.fewer(values)
	if len(row.Repeats) == 1 {
		row.Slow = Lane{median(of.slow[0]), median(of.slow[1]), median(of.slow[2])}
		row.Timeline = Timeline{of.samples, end.Answered, end.Drained}
		row.TookFirst, row.TookLast = quarters(of.took)
	}
}

// sorted adds values to those of the earlier repeats.
func sorted(all, values []float64) []float64 {
	all = append(all, values...)
	slices.Sort(all)
	return all
}

func (c *Collector) row(of *cell) *Row {
	if row := c.results.Row(of.Cell); row != nil {
		return row
	}
	strategy, place, op := c.results.Run.about(of.Cell)
	if strategy.Name == "" && !of.Floor {
		if !slices.Contains(c.unnamed, of.Strategy) {
			c.unnamed = append(c.unnamed, of.Strategy)
		}
		place += slices.Index(c.unnamed, of.Strategy)
	}
	row := &Row{
		Key: keyOf(of.Cell), Family: strategy.Family, Unbounded: strategy.Unbounded, Place: place,
		Backend: op.Backend, Calls: op.Calls, Own: op.Own, Alone: op.Alone, Floor: of.Floor, Driver: of.Driver, RoundTrip: of.RoundTrip,
		Delays: of.Delays, Nominal: of.Nominal,
	}
	c.results.Rows = append(c.results.Rows, row)
	return row
}

func (r *Row) note(of *cell, end End) {
	add := func(format string, args ...any) {
		text := fmt.Sprintf(format, args...)
		if of.Repeat > 1 {
			text = fmt.Sprintf("repeat %d: %s", of.Repeat, text)
		}
		r.Notes = append(r.Notes, text)
	}
	if end.Error != "" {
		add("%s", end.Error)
	}
	if end.Interrupted && of.requests == 0 {
		add("interrupted before the first request")
	} else if end.Interrupted {
		add("interrupted: the figures are of the requests until then")
	}
	if end.Open > 0 {
		add("%d runs still went on when the wait for them was over", end.Open)
	}
	if end.Missing > 0 {
		add("%d receipts were no longer in the lab's ledger: late, straggle, waste and connections are of the others", end.Missing)
	}
	if end.Others > 0 {
		add("somebody else made %d runs on the lab meanwhile: the figures include them", end.Others)
	}
	if of.noAnswer > 0 {
		add("%d requests had no answer", of.noAnswer)
	}
	if n := of.refusals(); n > 0 {
		add("the lab refused %d of %d requests (%s); answered includes them", n, of.requests, of.refusal())
	}
}

// medians returns the median of each column over the repeats.
func medians(repeats []Figures) (f Figures) {
	if len(repeats) == 1 {
		return repeats[0]
	}
	for place := range f {
		var known []float64
		for _, of := range repeats {
			if of[place] != nil {
				known = append(known, *of[place])
			}
		}
		if m := median(known); m != nil {
			f.set(place, *m)
		}
	}
	return f
}

// median returns the median of values in any order, or nil without a value.
func median(values []float64) *float64 {
	if len(values) == 0 {
		return nil
	}
	m := stats.Median(values)
	return &m
}
