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

// alpha is how often the test finds a difference where there is none.
const alpha = 0.05

// least is the least difference in percent. A smaller one may be real, but doesn't
// matter.
const least = 1

// enough is how many repeats the test needs. With fewer, even the largest difference comes
// by chance more often than alpha.
const enough = 4

// The verdicts on a figure of two results.
const (
	better  = "better"
	worse   = "worse"
	differs = "differs" // for a column in which neither less nor more is better
	same    = "~"       // the difference may be chance
)

// comparison compares two results.
type comparison struct {
	old, new         *results.Results
	differences      []difference
	rows             []comparedRow
	oldOnly, newOnly []*results.Row
	tested, found    int // how many figures were tested, and how many of them differ
	unjudged         int // how many figures differ and have too few repeats for the test
}

// comparedRow is a row that both results have.
type comparedRow struct {
	*results.Row // the new row
	changes      []change
}

// change is one column of a comparedRow. nil is not known.
type change struct {
	column   results.Column
	old, new *float64
	percent  *float64
	p        *float64 // nil also if all repeats are equal
	verdict  string   // "" with too few repeats, and for the load generator's columns
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

// twin returns the same row in other results, or nil.
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

// repeats returns a figure of each repeat in which it is known.
func repeats(row *results.Row, place int) (known []float64) {
	for _, f := range row.Repeats {
		if f[place] != nil {
			known = append(known, *f[place])
		}
	}
	return known
}

// judge uses the Mann–Whitney U test, which assumes nothing about the distribution of the
// figures.
func (ch *change) judge(before, after []float64) {
	if min(len(before), len(after)) < enough {
		return
	}
	ch.verdict = same
	p, more, err := test(before, after)
	if err != nil {
		return // all figures are equal
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

// test returns how likely figures so far apart are if nothing changed, and whether those
// after are more.
func test(before, after []float64) (p float64, more bool, err error) {
	u, err := stats.MannWhitneyUTest(before, after, stats.LocationDiffers)
	if err != nil {
		return 0, false, err
	}
	// U counts the pairs whose first figure is more. With ties, the library's p is right
	// only if they are fewer than half of all pairs.
	more = u.U < float64(len(before)*len(after))/2
	if !more {
		if u, err = stats.MannWhitneyUTest(after, before, stats.LocationDiffers); err != nil {
			return 0, false, err
		}
	}
	return min(1, u.P), more, nil
}

// percent returns by how many percent after is more than before, or nil if that is unknown.
func percent(before, after *float64) *float64 {
	if before == nil || after == nil || *before == 0 {
		return nil
	}
	v := 100 * (*after - *before) / math.Abs(*before)
	return &v
}

// changed reports whether the test found a difference, or without a test whether the
// figures differ. The columns of the load generator don't count, because they are not about
// the lab.
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

// changed returns the changes of a row that a table shows.
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

// differences returns the settings in which two comparisons differ. A reader must know them
// before comparing the figures.
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

// circumstances returns the settings of a comparison, and its machines.
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

// loadApart reports whether the load came from another machine or program than the lab.
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

// sentences returns how the figures were judged, and the remarks on the two results.
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

// of returns sentences on one of the two results.
func of(which string, remarks []string) (out []string) {
	for _, text := range remarks {
		out = append(out, "The "+which+" comparison: "+text)
	}
	return out
}

// fields returns the fields of a change, with their names in JSON and CSV.
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

// texts returns the column's name, old, new, change, p and the verdict.
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

// sentence returns texts in one line.
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
