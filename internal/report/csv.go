package report

import (
	"encoding/csv"
	"fmt"
	"io"
	"strconv"
	"strings"

	"gotimeout/internal/results"
)

// CSV writes the names of the columns and a line for each row. An unknown figure is empty,
// and a list is separated by spaces.
func CSV(w io.Writer, r *results.Results) error {
	line := func(row *results.Row) object {
		o := append(append(identity(row), conditions(row)...), field{"repeats", len(row.Repeats)})
		o = append(o, figures(row.Figures)...)
		return append(o, field{"notes", strings.Join(row.Notes, "; ")})
	}
	var lines []object
	for _, row := range r.Rows {
		lines = append(lines, line(row))
	}
	return writeCSV(w, line(new(results.Row)), lines)
}

func writeCSV(w io.Writer, head object, lines []object) error {
	out := csv.NewWriter(w)
	write := func(o object, text func(field) string) {
		var texts []string
		for _, f := range o {
			texts = append(texts, text(f))
		}
		_ = out.Write(texts) // out.Error, below, returns the error
	}
	write(head, func(f field) string { return f.name })
	for _, o := range lines {
		write(o, func(f field) string { return csvText(f.value) })
	}
	out.Flush()
	return out.Error()
}

func csvText(value any) string {
	switch v := value.(type) {
	case nil:
		return ""
	case *float64:
		if v == nil {
			return ""
		}
		return csvText(*v)
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	case []float64:
		var texts []string
		for _, one := range v {
			texts = append(texts, csvText(one))
		}
		return strings.Join(texts, " ")
	}
	return fmt.Sprint(value)
}

// csv writes a line for each figure.
func (c *comparison) csv(w io.Writer) error {
	var lines []object
	for _, row := range c.rows {
		for _, ch := range row.changes {
			lines = append(lines, append(identity(row.Row), ch.fields()...))
		}
	}
	return writeCSV(w, append(identity(new(results.Row)), change{}.fields()...), lines)
}
