package report

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"gotimeout/internal/prose"
	"gotimeout/internal/results"
)

// Terminal has the width of a terminal, 40 columns or more, and whether a table for it has
// all columns or only those of the verdict.
type Terminal struct {
	Width int
	Wide  bool
}

func (t Terminal) blocks() []block {
	if t.Wide {
		return blocks()
	}
	return []block{decisive}
}

// Table writes results for a terminal: the verdict, the most important sentences, and the figures.
func Table(w io.Writer, r *results.Results, to Terminal) error {
	var b strings.Builder
	width := to.Width
	a := newAccount(r)
	verdicts, sentences := a.text()
	for _, text := range append(verdicts, remarks(r)...) {
		b.WriteString(prose.Wrap(text, width))
	}
	for _, text := range sentences {
		b.WriteString("- " + prose.Hang(text, 2, width) + "\n")
	}
	if b.Len() > 0 {
		b.WriteString("\n")
	}
	b.WriteString(prose.Wrap(origin(r), width))
	groups := a.groups
	for _, g := range groups {
		b.WriteString("\n")
		for _, text := range headings(r, g) {
			b.WriteString(prose.Wrap(text, width))
		}
		for _, of := range to.blocks() {
			textOf(r, g, of).write(&b, width)
		}
	}
	if len(groups) > 0 {
		b.WriteString("\n")
		for _, text := range to.glossary() {
			b.WriteString(prose.Hang(text, 2, width) + "\n")
		}
	}
	for _, text := range notes(r) {
		b.WriteString("\n" + prose.Wrap(text, width))
	}
	_, err := io.WriteString(w, plain(b.String()))
	return err
}

// headings returns the lines above a group's table, with what its rows have in common.
func headings(r *results.Results, g *results.Group) []string {
	first := g.Rows[0]
	load := " rate=" + strconv.FormatFloat(r.Run.Rate, 'f', -1, 64) + "/s"
	if first.Own == "" {
		load = " delays=" + settings(first.Delays) + load
	}
	texts := []string{place(g.Key) + load, size(g)}
	if first.Own != "" {
		texts = append(texts, first.Op+" is "+callsOf(first))
	}
	if between := networkOf(first); between != "" {
		texts = append(texts, between)
	}
	if between := floorNetwork(g); between != "" {
		texts = append(texts, between)
	}
	return texts
}

func textOf(r *results.Results, g *results.Group, of block) textTable {
	out := textTable{title: of.title, head: "strategy"}
	if g.Floor != nil {
		out.apart = 1
	}
	for _, row := range rows(g) {
		out.names = append(out.names, row.Strategy)
	}
	for i, c := range of.columns {
		var texts []string
		for _, row := range rows(g) {
			texts = append(texts, c.shown(r, row))
		}
		if i == 0 || c.over == "" || c.over != of.columns[i-1].over {
			out.spans = append(out.spans, headed{over: c.over})
		}
		last := &out.spans[len(out.spans)-1]
		last.columns = append(last.columns, newCells(c.head, texts))
	}
	for i := range out.spans {
		out.spans[i].fit()
	}
	return out
}

// block is a table of the columns that belong together and fit 80 columns of a
// terminal.
type block struct {
	title   string
	columns []column
}

// column is a column of a block. Neighbours with the same over have one heading.
type column struct {
	over, head string
	places     []int // the place of a figure, or of two that are shown as one/another
}

// decisive has the columns for the choice of a strategy.
var decisive = block{"", []column{
	{"overshoot", "p99 ms", []int{results.OvershootP99}},
	{"timed", "out", []int{results.TimedOut}},
	{"", "false", []int{results.FalseTimeouts}},
	{"", "late", []int{results.Late}},
	{"straggle", "p99 ms", []int{results.StraggleP99}},
	{"ran", "on %", []int{results.RanOnPercent}},
	{"waste", "s/1000", []int{results.WastePer1000}},
	{"connections", "opened/ideal", []int{results.ConnectionsOpened, results.ConnectionsIdeal}},
}}

// blocks returns the tables of a group. Three columns are left out: requests and sent
// late are in the heading, and completed follows from the others.
func blocks() []block {
	return []block{
		{"answers", []column{
			{"answered ms", "p50", []int{results.AnsweredP50}},
			{"answered ms", "p99", []int{results.AnsweredP99}},
			{"answered ms", "max", []int{results.AnsweredMax}},
			{"overshoot ms", "p50", []int{results.OvershootP50}},
			{"overshoot ms", "p99", []int{results.OvershootP99}},
			{"overshoot ms", "max", []int{results.OvershootMax}},
			{"timed out", "all", []int{results.TimedOut}},
			{"timed out", "false", []int{results.FalseTimeouts}},
			{"", "late", []int{results.Late}},
			{"", "failed", []int{results.Failed}},
			{"re-", "fused", []int{results.Refused}},
		}},
		{"left behind", []column{
			{"goroutines", "+20ms", []int{results.GoroutinesAnswered}},
			{"goroutines", "left", []int{results.GoroutinesLeft}},
			{"connections", "opened/ideal", []int{results.ConnectionsOpened, results.ConnectionsIdeal}},
			{"connections", "left", []int{results.ConnectionsLeft}},
			{"connections", "RST", []int{results.RSTs}},
			{"TIME-", "WAIT", []int{results.TimeWait}},
			{"probe ms", "failed", []int{results.ProbeFailures}},
			{"probe ms", "p50", []int{results.ProbeP50}},
			{"probe ms", "max", []int{results.ProbeP99}}, // with so few calls the p99 is the longest
		}},
		{"costs", []column{
			{"straggle", "p99 ms", []int{results.StraggleP99}},
			{"drain", "ms", []int{results.DrainTime}},
			{"still", "open", []int{results.OpenReceipts}},
			{"waste", "s/1000", []int{results.WastePer1000}},
			{"ran", "on %", []int{results.RanOnPercent}},
			{"CPU", "µs/req", []int{results.CPUPerRequest}},
			{"allocated", "B/req", []int{results.AllocatedPerRequest}},
			{"wrong", "answers", []int{results.WrongAnswers}},
		}},
	}
}

// glossary explains the columns that the terminal has.
func (t Terminal) glossary() []string {
	if t.Wide {
		return allTerms()
	}
	return append(slices.Clone(decisiveTerms), "gotimeout explain COLUMN says more of a column, and --wide shows them all.")
}

func allTerms() []string { return append(slices.Clone(decisiveTerms), otherTerms...) }

var decisiveTerms = []string{
	"overshoot: answered − timeout, of the requests that were answered after the timeout, whatever the answer. Of the floor: answered − delay.",
	"false: requests that timed out though the same call alone takes less than the timeout. late: requests that completed more than 5 ms after the timeout, by the lab's clock.",
	"straggle: how long the op worked on after the answer. waste: seconds that backends worked for nobody, per 1,000 requests that were seen to reach a backend.",
	"ran on: of the timed-out calls whose backend could be seen, the share whose backend worked on for more than 5 ms.",
	"connections: dialed, and the most runs at once that used one (ideal).",
	"floor: calls that end in time, so what this machine adds by itself. They use no network unless one is named.",
	"?: nobody could see the figure. -: there is no such figure.",
}

var otherTerms = []string{
	"answered: time from when a request was due to its answer, whatever the answer.",
	"p50, p99: the smallest value that 50% or 99% of the values do not exceed (nearest rank). Of fewer than 100 values, p99 is the longest.",
	"goroutines, connections left, TIME-WAIT: how many more than before the load. +20ms: 20 ms after the last answer.",
	"probe: clean calls on the same pools, after all work has ended.",
	"drain: time from the last answer until nothing went on.",
}

// shown returns the text of a row in this column.
func (c column) shown(r *results.Results, row *results.Row) string {
	var texts []string
	for _, place := range c.places {
		texts = append(texts, shown(r, row, place))
	}
	if row.Figures[c.places[0]] == nil {
		return texts[0]
	}
	return strings.Join(texts, "/")
}

func shown(r *results.Results, row *results.Row, place int) string {
	v := row.Figures[place]
	switch {
	case row.Floor && notOfFloor(place), len(row.Repeats) == 0:
		return "-"
	case v != nil:
		return amount(*v, results.Columns()[place])
	case isOvershoot(place), place == results.RanOnPercent && nothingTimedOut(row), place == results.ConnectionsIdeal && usedNone(row):
		return "-"
	case r.Run.Probes == 0 && (place == results.ProbeFailures || place == results.ProbeP50 || place == results.ProbeP99):
		return "-"
	}
	return "?"
}

// notOfFloor reports whether a figure is about calls that exceed a timeout. The calls of the
// floor never do.
func notOfFloor(place int) bool { return place == results.Late || place == results.FalseTimeouts }

// isOvershoot reports whether a figure is about the requests that were answered after
// their timeout.
func isOvershoot(place int) bool {
	return place == results.OvershootP50 || place == results.OvershootP99 || place == results.OvershootMax
}

// usedNone reports whether the runs of a row without an ideal used no connection. If they
// make several calls at once, their ideal is unknown.
func usedNone(row *results.Row) bool {
	return row.Calls <= 1 && row.Figures[results.ConnectionsOpened] != nil
}

func nothingTimedOut(row *results.Row) bool {
	n := row.Figures[results.TimedOut]
	return n != nil && *n == 0
}

// textTable is a table as text: the names at the left, and the figures in spans of columns.
type textTable struct {
	title, head string
	names       []string
	spans       []headed
	apart       int // how many rows at the end are set apart
}

// headed is a span of columns under one head.
type headed struct {
	over    string
	columns []cells
}

// cells has the texts of a column.
type cells struct {
	head  string
	texts []string
	width int
}

// newCells measures a column.
func newCells(head string, texts []string) cells {
	c := cells{head, texts, utf8.RuneCountInString(head)}
	for _, text := range texts {
		c.width = max(c.width, utf8.RuneCountInString(text))
	}
	return c
}

func (s headed) width() int {
	n := len(s.columns) - 1
	for _, c := range s.columns {
		n += c.width
	}
	return n
}

// fit makes the first column so wide that the head has room.
func (s *headed) fit() {
	s.columns[0].width += max(0, utf8.RuneCountInString(s.over)-s.width())
}

// gap returns the space between two spans: more beside a span of several columns.
func gap(before, after headed) int {
	if len(before.columns) > 1 || len(after.columns) > 1 {
		return 2
	}
	return 1
}

// write writes the table. A table that is wider than width is cut into parts below each other.
func (g textTable) write(b *strings.Builder, width int) {
	names := newCells(g.head, append(g.names, g.title))
	for from := 0; from < len(g.spans); {
		used, to := names.width, from
		for to < len(g.spans) {
			more := 2 + g.spans[to].width()
			if to > from {
				more = gap(g.spans[to-1], g.spans[to]) + g.spans[to].width()
				if used+more > width {
					break
				}
			}
			used, to = used+more, to+1
		}
		g.part(b, names.width, g.spans[from:to])
		from = to
	}
}

func (g textTable) part(b *strings.Builder, names int, spans []headed) {
	line := func(first string, text func(headed) string) {
		l := fmt.Sprintf("%-*s", names, first)
		for i, s := range spans {
			space := 2
			if i > 0 {
				space = gap(spans[i-1], s)
			}
			l += strings.Repeat(" ", space) + text(s)
		}
		b.WriteString(strings.TrimRight(l, " ") + "\n")
	}
	each := func(s headed, text func(cells) string) string {
		var texts []string
		for _, c := range s.columns {
			texts = append(texts, fmt.Sprintf("%*s", c.width, text(c)))
		}
		return strings.Join(texts, " ")
	}
	b.WriteString("\n")
	line(g.title, func(s headed) string { return fmt.Sprintf("%*s", s.width(), s.over) })
	line(g.head, func(s headed) string { return each(s, func(c cells) string { return c.head }) })
	for i, name := range g.names {
		if i > 0 && i == len(g.names)-g.apart {
			b.WriteString("\n")
		}
		line(name, func(s headed) string { return each(s, func(c cells) string { return c.texts[i] }) })
	}
}

// table writes the changes.
func (c *comparison) table(w io.Writer, width int) error {
	const line = "%-29s %9s %9s %9s %6s  %s"
	var b strings.Builder
	b.WriteString(prose.Wrap("old: "+origin(c.old), width) + prose.Wrap("new: "+origin(c.new), width))
	if len(c.differences) > 0 {
		b.WriteString("\n" + prose.Wrap(unfair, width))
	}
	for _, d := range c.differences {
		b.WriteString("  " + prose.Hang(d.text(), 4, width) + "\n")
	}
	unchanged := 0
	for _, row := range c.rows {
		changes := row.changed()
		unchanged += len(row.changes) - len(changes)
		if len(changes) == 0 {
			continue
		}
		b.WriteString("\n" + prose.Wrap(row.Strategy+" on "+place(row.Key), width))
		if width < 80 {
			for _, ch := range changes {
				b.WriteString("  " + prose.Hang(ch.sentence(), 4, width) + "\n")
			}
			continue
		}
		lines := [][]string{{"", "old", "new", "change", "p", ""}}
		for _, ch := range changes {
			lines = append(lines, ch.texts())
		}
		for _, l := range lines {
			text := fmt.Sprintf(line, "  "+l[0], l[1], l[2], l[3], l[4], l[5])
			b.WriteString(strings.TrimRight(text, " ") + "\n")
		}
	}
	both := fmt.Sprintf("Rows in both: %d. Figures that are unchanged or the load generator's own, and not shown: %d.", len(c.rows), unchanged)
	b.WriteString("\n" + prose.Wrap(both, width))
	for _, text := range c.sentences() {
		b.WriteString("\n" + prose.Wrap(text, width))
	}
	_, err := io.WriteString(w, plain(b.String()))
	return err
}
