// Package report shows the results of a comparison, or the differences between two: as a
// table for a terminal, Markdown, JSON, CSV and a page. It also shows the recommendation
// of a timeout, the log of a bad network as a page, and checks conditions on figures.
//
// All figures and names come from results.Results and its Columns. The package computes
// only the differences between two results. It reads no file, and knows no server, no
// strategy and no op.
package report

import (
	"fmt"
	"io"
	"slices"

	"gotimeout/internal/prose"
	"gotimeout/internal/results"
)

// Format is a way to show results.
type Format struct {
	Name string
	One  func(io.Writer, *results.Results) error
	Two  func(w io.Writer, before, after *results.Results) error // writes the differences; nil if the format shows only one result
}

// Formats returns the formats, the default first. to is the terminal for a table.
func Formats(to Terminal) []Format {
	two := func(write func(*comparison, io.Writer) error) func(io.Writer, *results.Results, *results.Results) error {
		return func(w io.Writer, before, after *results.Results) error { return write(compare(before, after), w) }
	}
	return []Format{
		{"table", func(w io.Writer, r *results.Results) error { return Table(w, r, to) },
			two(func(c *comparison, w io.Writer) error { return c.table(w, to.Width) })},
		{"markdown", Markdown, two((*comparison).markdown)},
		{"json", JSON, two((*comparison).json)},
		{"csv", CSV, two((*comparison).csv)},
		{"html", func(w io.Writer, r *results.Results) error { return HTML(w, r) }, nil},
	}
}

// Write writes results in the named format. For two results it writes the differences: in
// a table the changes beyond the noise, and in the other formats every column of every
// row. If both have 4 repeats or more, the Mann–Whitney U test judges their figures.
func Write(w io.Writer, format string, to Terminal, all ...*results.Results) error {
	if err := Check(format, len(all)); err != nil {
		return err
	}
	formats := Formats(to)
	f := formats[slices.IndexFunc(formats, func(f Format) bool { return f.Name == format })]
	if len(all) == 2 {
		return f.Two(w, all[0], all[1])
	}
	return f.One(w, all[0])
}

// Check returns an error if Write can't write count results in the named format.
func Check(format string, count int) error {
	var all, ofTwo []string
	for _, f := range Formats(Terminal{}) {
		all = append(all, f.Name)
		if f.Two != nil {
			ofTwo = append(ofTwo, f.Name)
		}
	}
	switch {
	case count < 1 || count > 2:
		return fmt.Errorf("%d files: report takes one, or two to compare", count)
	case !slices.Contains(all, format):
		return fmt.Errorf("results are shown as %s, not as %s", prose.Or(all), format)
	case count == 2 && !slices.Contains(ofTwo, format):
		return fmt.Errorf("two comparisons are shown as %s, not as %s", prose.Or(ofTwo), format)
	}
	return nil
}
