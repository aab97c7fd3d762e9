package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"gotimeout/internal/report"
	"gotimeout/internal/results"
)

type reportCmd struct {
	Format string   `default:"table" enum:"${reportFormats}" help:"The format: ${enum}."`
	File   []string `arg:"" predictor:"file" help:"What gotimeout compare --out wrote; - is the standard input. Two files are compared: first the old one, then the new."`
}

// Help is what the help says beyond the flags. kong calls it.
func (reportCmd) Help() string {
	return `Report shows the results of a comparison, or what differs between two.

  gotimeout report results.jsonl
  gotimeout report results.jsonl --format html > page.html
  gotimeout report old.jsonl new.jsonl

A table of two comparisons has the figures that differ by the Mann–Whitney U test
on their repeats, which takes 4 repeats in each (gotimeout compare --repeat 5). The
other formats have all figures; html shows one comparison only.

csv has a line for each row. json is one object with the run and its rows: a key
for each column, null where nobody could see the figure, and the same for each
repeat.`
}

// Run shows the files. kong calls it.
func (c *reportCmd) Run(to streams) error {
	if err := report.Check(c.Format, len(c.File)); err != nil {
		return usageError{err}
	}
	var all []*results.Results
	for _, path := range c.File {
		r, err := readResults(path)
		if err != nil {
			return err
		}
		all = append(all, r)
	}
	return report.Write(to.out, c.Format, to.columns(to.out), all...)
}

// readResults reads a file, or the standard input.
func readResults(path string) (*results.Results, error) {
	file := os.Stdin
	if path != "-" {
		var err error
		if file, err = os.Open(path); err != nil {
			return nil, err
		}
		defer file.Close()
	}
	r, err := results.Read(file)
	if onPath := new(fs.PathError); err != nil && !errors.As(err, &onPath) {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return r, err
}

// reportFormats is the enum of --format: the default stands first.
func reportFormats() string {
	var names []string
	for _, f := range report.Formats(0) {
		names = append(names, f.Name)
	}
	return strings.Join(names, ", ")
}
