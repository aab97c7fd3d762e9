package report

import (
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"gotimeout/internal/machine"
	"gotimeout/internal/results"

	"github.com/aclements/go-moremath/stats"
)

// alpha is how often the test calls figures different that are not.
const alpha = 0.05

// least is how many percent figures must differ by: a smaller difference may be
// real, but matters to nobody.
const least = 1

// enough is how many repeats the test needs: with fewer, chance alone makes even
// the largest difference more often than alpha.
const enough = 4

// The verdicts on a figure of two results.
const (
	better  = "better"
	worse   = "worse"
	differs = "differs" // where neither less nor more is better
	same    = "~"       // no difference that chance alone would not make
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

// difference is a setting that is not the same in two comparisons.
type difference struct{ name, old, new string }

// differences are in what two comparisons were not made alike, which is to be
// known before their figures are held against each other.
func differences(before, after *results.Results) (out []difference) {
	apart := loadApart(before) || loadApart(after)
	old, new := circumstances(before, apart), circumstances(after, apart)
	names := maps.Clone(old)
	maps.Copy(names, new)
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if old[name] != new[name] {
			out = append(out, difference{name, old[name], new[name]})
		}
	}
	return out
}

// circumstances are the settings of a comparison, and where it was made.
func circumstances(r *results.Results, apart bool) map[string]string {
	out := map[string]string{
		"rate":     strconv.FormatFloat(r.Run.Rate, 'f', -1, 64) + "/s",
		"duration": setting(r.Run.Duration),
		"warm-up":  setting(r.Run.WarmUp),
		"repeat":   strconv.Itoa(r.Run.Repeat),
		"probes":   strconv.Itoa(r.Run.Probes),
		"url":      r.Run.URL,
	}
	for name, value := range r.Run.TCP {
		out["lab: "+name] = value
	}
	describe(out, "lab: ", r.Run.Lab)
	if apart {
		describe(out, "load generator: ", r.Run.Machine)
	}
	var delays, timeouts []string
	for _, row := range r.Rows {
		if row.Network != "none" {
			out["driver of "+row.Network] = row.Driver
		}
		if !row.Floor {
			delays, timeouts = append(delays, callsOf(row)), append(timeouts, setting(row.Timeout))
		}
	}
	out["delays"], out["timeouts"] = distinct(delays), distinct(timeouts)
	return out
}

// loadApart tells whether the load came from another machine or program than the
// lab's.
func loadApart(r *results.Results) bool { return !reflect.DeepEqual(r.Run.Machine, r.Run.Lab) }

func distinct(texts []string) string {
	slices.Sort(texts)
	return strings.Join(slices.Compact(texts), ", ")
}

func describe(out map[string]string, whose string, m machine.Machine) {
	maps.Copy(out, map[string]string{
		whose + "system": m.OS, whose + "kernel": m.Kernel, whose + "CPU": m.CPU,
		whose + "processors": strconv.Itoa(m.Processors), whose + "Go": m.Go, whose + "gotimeout": m.Version,
	})
	for path, version := range m.Modules {
		out[whose+path] = version
	}
}

// sentences say how the figures were judged, and what to know of the two.
func (c *comparison) sentences() (out []string) {
	if c.tested > 0 {
		out = append(out, fmt.Sprintf("Judged by the Mann–Whitney U test on the figures of the repeats, alpha %v: %d of %d figures differ by %d%% or more, "+
			"of which chance alone would make about %.0f.", alpha, c.found, c.tested, least, math.Ceil(alpha*float64(c.tested))))
	}
	if c.unjudged > 0 {
		out = append(out, fmt.Sprintf("Figures without a verdict, since too few repeats can't tell a difference from noise: %d. "+
			"For a verdict, run both with --repeat 5 (at least 4).", c.unjudged))
	}
	if len(c.rows) == 0 {
		out = append(out, "The two comparisons have no row in common.")
	}
	for _, row := range c.oldOnly {
		out = append(out, fmt.Sprintf("Only in the old comparison: %s on %s.", row.Strategy, place(row.Key)))
	}
	for _, row := range c.newOnly {
		out = append(out, fmt.Sprintf("Only in the new comparison: %s on %s.", row.Strategy, place(row.Key)))
	}
	return append(append(out, of("old", remarks(c.old))...), of("new", remarks(c.new))...)
}

// of are sentences on one of the two.
func of(which string, remarks []string) (out []string) {
	for _, text := range remarks {
		out = append(out, "The "+which+" comparison: "+text)
	}
	return out
}

// fields are a change's, with the names of JSON and CSV.
func (ch change) fields() object {
	var verdict any
	if ch.verdict != "" {
		verdict = ch.verdict
	}
	return object{
		{"column", ch.column.Name},
		{"old", ch.old},
		{"new", ch.new},
		{"change_percent", ch.percent},
		{"p", ch.p},
		{"verdict", verdict},
	}
}

const unfair = "These settings differ, so the comparison may not be fair:"

func (d difference) text() string { return d.name + ": " + orNone(d.old) + " → " + orNone(d.new) }

func orNone(text string) string {
	if text == "" {
		return "none"
	}
	return text
}

// texts are the column's name, old, new, change, p and the verdict.
func (ch change) texts() []string {
	figure := func(v *float64) string {
		if v == nil {
			return "?"
		}
		return amount(*v, ch.column)
	}
	out := []string{ch.column.Name, figure(ch.old), figure(ch.new), "", "", ch.verdict}
	if ch.percent != nil && *ch.percent != 0 {
		out[3] = fmt.Sprintf("%+.1f%%", *ch.percent)
	}
	if ch.p != nil {
		out[4] = strconv.FormatFloat(*ch.p, 'f', 3, 64)
	}
	return out
}

// sentence is texts in one line.
func (ch change) sentence() string {
	of := ch.texts()
	s := fmt.Sprintf("%s: %s → %s", of[0], of[1], of[2])
	for i, text := range of[3:] {
		if text != "" {
			s += ", " + [3]string{"", "p ", ""}[i] + text
		}
	}
	return s
}
