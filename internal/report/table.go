package report

import (
	"io"
	"strconv"
	"strings"

	"gotimeout/internal/results"
)

// Table writes results for a terminal of a width, 80 columns or more.
func Table(w io.Writer, r *results.Results, width int) error {
	var b strings.Builder
	b.WriteString(wrapped(origin(r), width))
	groups := r.Groups()
	for _, g := range groups {
		b.WriteString("\n")
		for _, text := range headings(r, g) {
			b.WriteString(wrapped(text, width))
		}
		for _, of := range blocks() {
			textOf(r, g, of).write(&b, width)
		}
	}
	if len(groups) == 0 {
		b.WriteString("\n" + nothingToShow + "\n")
	} else {
		b.WriteString("\n" + glossary)
	}
	for _, text := range append(remarks(r), notes(r)...) {
		b.WriteString("\n" + wrapped(text, width))
	}
	_, err := io.WriteString(w, plain(b.String()))
	return err
}

// headings say what the rows of a group have in common.
func headings(r *results.Results, g *results.Group) []string {
	first := g.Rows[0]
	load := " delays=" + settings(first.Delays) + " rate=" + strconv.FormatFloat(r.Run.Rate, 'f', -1, 64) + "/s"
	texts := []string{place(g.Key) + load, size(g)}
	if between := way(first); between != "" {
		texts = append(texts, between)
	}
	if between := floorWay(g); between != "" {
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
