package report

import (
	"fmt"
	"io"
	"math"

	"gotimeout/internal/results"
)

// The formats that Compare writes.
const (
	FormatTable    = "table"
	FormatMarkdown = "markdown"
	FormatJSON     = "json"
	FormatCSV      = "csv"
)

// Compare writes what differs between two results: as a table what changed
// beyond the noise, in the other formats every column of every row. Where both
// have 4 repeats or more, the Mann–Whitney U test on their figures judges.
func Compare(w io.Writer, before, after *results.Results, format string) error {
	c := compare(before, after)
	switch format {
	case FormatTable:
		return c.table(w)
	case FormatMarkdown:
		return c.markdown(w)
	case FormatJSON:
		return c.json(w)
	case FormatCSV:
		return c.csv(w)
	}
	return fmt.Errorf("two comparisons are shown as %s, %s, %s or %s, not as %s", FormatTable, FormatMarkdown, FormatJSON, FormatCSV, format)
}

// sentences say how the figures were judged, and what to know of the two.
func (c *comparison) sentences() (out []string) {
	if c.tested > 0 {
		out = append(out, fmt.Sprintf("Judged by the Mann–Whitney U test on the figures of the repeats, alpha %v: %d of %d figures differ by %d%% or more, "+
			"of which chance alone would make about %.0f.", alpha, c.found, c.tested, least, math.Ceil(alpha*float64(c.tested))))
	}
	if c.unjudged > 0 {
		out = append(out, fmt.Sprintf("No verdict on figures that differ in too few repeats, for it may be noise: %d. "+
			"For one, run both with --repeat 5 (4 at least).", c.unjudged))
	}
	if len(c.rows) == 0 {
		out = append(out, "The two have no row in common.")
	}
	for _, row := range c.oldOnly {
		out = append(out, fmt.Sprintf("In the old one only: %s on %s.", row.Strategy, place(row.Key)))
	}
	for _, row := range c.newOnly {
		out = append(out, fmt.Sprintf("In the new one only: %s on %s.", row.Strategy, place(row.Key)))
	}
	return append(append(out, of("old", remarks(c.old))...), of("new", remarks(c.new))...)
}

// of are sentences on one of the two.
func of(which string, remarks []string) (out []string) {
	for _, text := range remarks {
		out = append(out, "Of the "+which+" one: "+text)
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

func (c *comparison) json(w io.Writer) error {
	identities := func(rows []*results.Row) []object {
		out := []object{}
		for _, row := range rows {
			out = append(out, identity(row))
		}
		return out
	}
	settings, rows := []object{}, []object{}
	for _, d := range c.differences {
		settings = append(settings, object{{"setting", d.name}, {"old", d.old}, {"new", d.new}})
	}
	for _, row := range c.rows {
		var changes []object
		for _, ch := range row.changes {
			changes = append(changes, ch.fields())
		}
		rows = append(rows, append(identity(row.Row), field{"changes", changes}))
	}
	return writeJSON(w, object{
		{"old", c.old.Run},
		{"new", c.new.Run},
		{"differences", settings},
		{"test", "Mann–Whitney U"},
		{"alpha", alpha},
		{"tested", c.tested},
		{"remarks", append([]string{}, c.sentences()...)},
		{"rows", rows},
		{"old_only", identities(c.oldOnly)},
		{"new_only", identities(c.newOnly)},
	})
}

// csv has a line a figure.
func (c *comparison) csv(w io.Writer) error {
	var lines []object
	for _, row := range c.rows {
		for _, ch := range row.changes {
			lines = append(lines, append(identity(row.Row), ch.fields()...))
		}
	}
	return writeCSV(w, append(identity(new(results.Row)), change{}.fields()...), lines)
}
