package report

import (
	"fmt"
	"io"
	"strconv"
	"strings"
)

const unfair = "Not made alike, so the comparison may not be fair:"

// table shows what changed.
func (c *comparison) table(w io.Writer) error {
	const width, line = 80, "%-29s %9s %9s %9s %6s  %s"
	var b strings.Builder
	b.WriteString(wrapped("old: "+origin(c.old), width) + wrapped("new: "+origin(c.new), width))
	if len(c.differences) > 0 {
		b.WriteString("\n" + unfair + "\n")
	}
	for _, d := range c.differences {
		b.WriteString("  " + d.text() + "\n")
	}
	unchanged := 0
	for _, row := range c.rows {
		changes := row.changed()
		unchanged += len(row.changes) - len(changes)
		if len(changes) == 0 {
			continue
		}
		fmt.Fprintf(&b, "\n%s on %s\n", row.Strategy, place(row.Key))
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
	b.WriteString("\n" + wrapped(both, width))
	for _, text := range c.sentences() {
		b.WriteString("\n" + wrapped(text, width))
	}
	_, err := io.WriteString(w, plain(b.String()))
	return err
}

// markdown shows every column.
func (c *comparison) markdown(w io.Writer) error {
	var b strings.Builder
	markdownList(&b, []string{"old: " + origin(c.old), "new: " + origin(c.new)})
	if len(c.differences) > 0 {
		b.WriteString("\n" + unfair + "\n")
	}
	var differences []string
	for _, d := range c.differences {
		differences = append(differences, d.text())
	}
	markdownList(&b, differences)
	for _, row := range c.rows {
		fmt.Fprintf(&b, "\n**%s on %s**\n\n", escaped(row.Strategy), escaped(place(row.Key)))
		markdownHead(&b, []string{"column", "old", "new", "change", "p", "verdict"}, 1)
		for _, ch := range row.changes {
			markdownRow(&b, ch.texts())
		}
	}
	markdownList(&b, c.sentences())
	_, err := io.WriteString(w, plain(b.String()))
	return err
}

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
