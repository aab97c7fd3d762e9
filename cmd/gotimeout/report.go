package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"gotimeout/internal/report"
	"gotimeout/internal/results"
)

type reportCmd struct {
	Format string   `default:"table" enum:"{reportFormats}" help:"The format: ${enum}."`
	JSON   bool     `help:"Print one JSON object, as --format json does."`
	Wide   bool     `help:"Print all columns in the table, not only those that a choice is made by."`
	File   []string `arg:"" predictor:"file" help:"A file that compare --out or recommend --out wrote; - is the standard input. Two files, the old one first, are compared."`
}

// Help returns the text of the help above the flags. kong calls it.
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

// Run shows the results in the files. kong calls it.
func (c *reportCmd) Run(ctx context.Context, to streams) error {
	if c.JSON {
		c.Format = "json"
	}
	if err := report.Check(c.Format, len(c.File)); err != nil {
		return usageError{err}
	}
	var all []*results.Results
	for _, path := range c.File {
		var r *results.Results
		var err error
		read := make(chan struct{})
		go func(stdin *os.File) {
			defer close(read)
			r, err = readResults(path, stdin)
		}(os.Stdin)
		select {
		case <-read:
		case <-ctx.Done(): // a pipe or a terminal may never end
			return to.interrupted("the end of " + path + " was not reached")
		}
		if err != nil {
			return err
		}
		all = append(all, r)
	}
	return report.Write(to.out, c.Format, report.Terminal{Width: to.columns(to.out), Wide: c.Wide}, all...)
}

// readResults reads a file, or the standard input.
func readResults(path string, stdin *os.File) (*results.Results, error) {
	file := stdin
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

// reportFormats returns the enum of --format, the default first.
func reportFormats() string {
	var names []string
	for _, f := range report.Formats(report.Terminal{}) {
		names = append(names, f.Name)
	}
	return strings.Join(names, ", ")
}
