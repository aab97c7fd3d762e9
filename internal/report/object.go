package report

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"

	"gotimeout/internal/results"
)

// object is what JSON and CSV have in common: fields with names, in their order.
type object []field

type field struct {
	name  string
	value any
}

// MarshalJSON keeps the order of the fields, which a map doesn't.
func (o object) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	for i, f := range o {
		b.WriteByte("{,"[min(i, 1)])
		fmt.Fprintf(&b, "%q:", f.name)
		if err := e.Encode(f.value); err != nil {
			return nil, fmt.Errorf("%s: %w", f.name, err)
		}
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// identity is which row it is.
func identity(row *results.Row) object {
	return object{
		{"strategy", row.Strategy},
		{"op", row.Op},
		{"ctx", row.Ctx},
		{"network", row.Network},
		{"timeout_ms", row.Timeout},
		{"floor", row.Floor},
	}
}

// conditions are what the row's figures were taken under.
func conditions(row *results.Row) object {
	return object{
		{"driver", row.Driver},
		{"round_trip_ms", row.RoundTrip},
		{"delays_ms", row.Delays},
		{"nominal_ms", row.Nominal},
	}
}

func figures(f results.Figures) (o object) {
	for i, c := range results.Columns() {
		o = append(o, field{c.Name, f[i]})
	}
	return o
}

// JSON writes results as one object. null is not known.
func JSON(w io.Writer, r *results.Results) error {
	rows := []object{}
	for _, row := range r.Rows {
		repeats := []object{}
		for _, f := range row.Repeats {
			repeats = append(repeats, figures(f))
		}
		o := append(append(identity(row), conditions(row)...), figures(row.Figures)...)
		rows = append(rows, append(o, field{"repeats", repeats}, field{"notes", append([]string{}, row.Notes...)}))
	}
	return writeJSON(w, object{
		{"run", r.Run},
		{"complete", r.Complete},
		{"interrupted", r.Interrupted},
		{"remarks", append([]string{}, remarks(r)...)},
		{"rows", rows},
	})
}

func writeJSON(w io.Writer, o object) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(o)
}

// CSV writes a line a row, and first the names. What is not known is empty; a
// list has spaces between.
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
		_ = out.Write(texts) // Error tells, below
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
