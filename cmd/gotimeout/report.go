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
	Format string   `default:"table" enum:"${reportFormats}" help:"How to show it: ${enum}."`
	File   []string `arg:"" help:"What gotimeout compare --out wrote; - is the standard input. Two files are compared: first the old one, then the new."`
}

// Help is what the help says beyond the flags. kong calls it.
func (reportCmd) Help() string {
	return `It shows what a comparison recorded, and of two what changed beyond the noise.

  gotimeout report results.jsonl
  gotimeout report results.jsonl --format html > page.html
  gotimeout report old.jsonl new.jsonl

Of two, a table has the figures that the Mann–Whitney U test on their repeats
finds to differ, which needs 4 repeats in each (gotimeout compare --repeat 5);
the other formats have all. html shows one.

csv has a line a row, json an object with the run and its rows: a key a column,
null where nobody could see, and the same of each repeat.`
}

// Run shows the files. kong calls it.
func (c *reportCmd) Run(to streams) error {
	var all []*results.Results
	for _, path := range c.File {
		r, err := readResults(path)
		if err != nil {
			return err
		}
		all = append(all, r)
	}
	return report.Write(to.out, c.Format, columns(to.out), all...)
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
	return strings.Join(names, ",")
}
