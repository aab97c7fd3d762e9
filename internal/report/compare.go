package report

import (
	"math"

	"github.com/aclements/go-moremath/stats"

	"gotimeout/internal/results"
)

// alpha is how often figures that don't differ are said to.
const alpha = 0.05

// least is by how many percent figures differ at least that are said to: less may
// be no chance, and matters to nobody.
const least = 1

// enough is how many repeats a test needs: with fewer, no difference, however
// large, is rarer than alpha by chance.
const enough = 4

// The verdicts on a figure of two results.
const (
	better  = "better"
	worse   = "worse"
	differs = "differs" // where neither less nor more is better
	same    = "~"       // no difference but one that chance makes as well
)

// comparison is two results held against each other.
type comparison struct {
	old, new         *results.Results
	differences      []difference
	rows             []comparedRow
	oldOnly, newOnly []*results.Row
	tested, found    int // figures, and those of them that differ
	unjudged         int // figures that differ, of too few repeats
}

// comparedRow is a row that both results have.
type comparedRow struct {
	*results.Row // the new one
	changes      []change
}

// change is a column of such a row. nil is not known.
type change struct {
	column   results.Column
	old, new *float64
	percent  *float64
	p        *float64 // nil also where all repeats are equal
	verdict  string   // "" of too few repeats, and of the load generator's own
}

func compare(before, after *results.Results) *comparison {
	c := &comparison{old: before, new: after, differences: differences(before, after)}
	for _, row := range before.Rows {
		if twin(row, after) == nil {
			c.oldOnly = append(c.oldOnly, row)
		}
	}
	for _, row := range after.Rows {
		if old := twin(row, before); old != nil {
			c.rows = append(c.rows, c.row(old, row))
		} else {
			c.newOnly = append(c.newOnly, row)
		}
	}
	return c
}

// twin is the same row of other results, or nil.
func twin(of *results.Row, in *results.Results) *results.Row {
	for _, row := range in.Rows {
		if row.Key == of.Key && row.Floor == of.Floor {
			return row
		}
	}
	return nil
}

func (c *comparison) row(before, after *results.Row) comparedRow {
	out := comparedRow{Row: after}
	for place, column := range results.Columns() {
		ch := change{column: column, old: before.Figures[place], new: after.Figures[place]}
		ch.percent = percent(ch.old, ch.new)
		if place != results.SentLateP99 {
			ch.judge(repeats(before, place), repeats(after, place))
		}
		switch {
		case ch.p != nil && ch.changed():
			c.tested, c.found = c.tested+1, c.found+1
		case ch.p != nil:
			c.tested++
		case ch.changed():
			c.unjudged++
		}
		out.changes = append(out.changes, ch)
	}
	return out
}

// repeats are the figures of those that know.
func repeats(row *results.Row, place int) (known []float64) {
	for _, f := range row.Repeats {
		if f[place] != nil {
			known = append(known, *f[place])
		}
	}
	return known
}

// judge is the Mann–Whitney U test, which takes nothing for granted of how the
// figures are spread.
func (ch *change) judge(before, after []float64) {
	if min(len(before), len(after)) < enough {
		return
	}
	ch.verdict = same
	p, more, err := test(before, after)
	if err != nil {
		return // all are equal
	}
	ch.p = &p
	switch {
	case p >= alpha || *ch.old == *ch.new || ch.percent != nil && math.Abs(*ch.percent) < least:
	case !ch.column.Less:
		ch.verdict = differs
	case more:
		ch.verdict = worse
	default:
		ch.verdict = better
	}
}

// test returns how likely figures as far apart as these are if nothing changed,
// and whether those after are more.
func test(before, after []float64) (p float64, more bool, err error) {
	u, err := stats.MannWhitneyUTest(before, after, stats.LocationDiffers)
	if err != nil {
		return 0, false, err
	}
	// Of all pairs, U are those of which the first one is more. With ties, the
	// library's p is right only where they are the fewer.
	more = u.U < float64(len(before)*len(after))/2
	if !more {
		if u, err = stats.MannWhitneyUTest(after, before, stats.LocationDiffers); err != nil {
			return 0, false, err
		}
	}
	return min(1, u.P), more, nil
}

// percent is by how much after is more than before; nil where that can't be said.
func percent(before, after *float64) *float64 {
	if before == nil || after == nil || *before == 0 {
		return nil
	}
	v := 100 * (*after - *before) / math.Abs(*before)
	return &v
}

// changed tells what a test found, and without a test whatever is not equal. How
// late the load generator sent is nothing that changed in the lab.
func (ch change) changed() bool {
	switch {
	case ch.column.Name == results.Columns()[results.SentLateP99].Name:
		return false
	case ch.verdict != "":
		return ch.verdict != same
	case ch.old == nil || ch.new == nil:
		return ch.old != ch.new
	}
	return *ch.old != *ch.new
}

// changed are the changes of a row that a table shows.
func (r comparedRow) changed() (shown []change) {
	for _, ch := range r.changes {
		if ch.changed() {
			shown = append(shown, ch)
		}
	}
	return shown
}
