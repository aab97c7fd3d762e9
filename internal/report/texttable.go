package report

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// textTable is a table as text: names at the left, figures in spans of columns.
type textTable struct {
	title, head string
	names       []string
	spans       []headed
	apart       int // as many rows at the end stand apart
}

// headed is columns under one head.
type headed struct {
	over    string
	columns []cells
}

// cells are the texts of a column.
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

// gap is what lies between two spans: more beside those of several columns.
func gap(before, after headed) int {
	if len(before.columns) > 1 || len(after.columns) > 1 {
		return 2
	}
	return 1
}

// write writes the table, in parts below each other where it is wider than width.
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
