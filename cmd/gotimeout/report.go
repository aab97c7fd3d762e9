package main

import (
	"bufio"
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
	File   []string `arg:"" predictor:"file" help:"A file that compare --out, recommend --out or atlas --out wrote; - is the standard input. Two files, the old one first, are compared."`
}

// Help returns the text of the help above the flags. kong calls it.
func (reportCmd) Help() string {
	return `Report shows the results of a comparison or an atlas, or what differs between two
comparisons.

  gotimeout report results.jsonl
  gotimeout report results.jsonl --format html > page.html
  gotimeout report old.jsonl new.jsonl

A table of two comparisons has the figures that differ by the Mann–Whitney U test
on their repeats, which takes 4 repeats in each (gotimeout compare --repeat 5). The
other formats have all figures; html shows one comparison only.

csv has a line for each row. json is one object with the run and its rows: a key
for each column, null where nobody could see the figure, and the same for each
repeat. An atlas has no csv.`
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
		var r records
		var err error
		read := make(chan struct{})
		go func(stdin *os.File) {
			defer close(read)
			r, err = readRecords(path, stdin)
		}(os.Stdin)
		select {
		case <-read:
		case <-ctx.Done(): // a pipe or a terminal may never end
			return to.interrupted("the end of " + path + " was not reached")
		}
		if err != nil {
			return err
		}
		if r.atlas != nil {
			return c.atlas(to, path, r.atlas)
		}
		all = append(all, r.Results)
	}
	return report.Write(to.out, c.Format, report.Terminal{Width: to.columns(to.out), Wide: c.Wide}, all...)
}

// atlas shows an atlas.
func (c *reportCmd) atlas(to streams, path string, a *results.Atlas) error {
	if len(c.File) > 1 {
		return usagef("%s is an atlas, which report shows alone", path)
	}
	switch c.Format {
	case "html":
		return report.AtlasHTML(to.out, a)
	case "markdown":
		return report.AtlasMarkdown(to.out, a)
	case "json":
		return a.Write(to.out)
	case "table":
		return report.Atlas(to.out, a, to.columns(to.out))
	}
	return usagef("%s is an atlas, which is shown as table, markdown, json or html", path)
}

// records is what a file of records has: the results of a comparison, or an atlas.
type records struct {
	*results.Results
	atlas *results.Atlas
}

// readRecords reads a file, or the standard input.
func readRecords(path string, stdin *os.File) (r records, err error) {
	file := stdin
	if path != "-" {
		if file, err = os.Open(path); err != nil {
			return r, err
		}
		defer file.Close()
	}
	text := bufio.NewReader(file)
	if begin, _ := text.Peek(len(atlasBegin)); string(begin) == atlasBegin {
		r.atlas, err = results.ReadAtlas(text)
	} else {
		r.Results, err = results.Read(text)
	}
	if onPath := new(fs.PathError); err != nil && !errors.As(err, &onPath) {
		return r, fmt.Errorf("%s: %w", path, err)
	}
	return r, err
}

// atlasBegin is how the file of an atlas begins.
const atlasBegin = `{"type":"` + results.TypeAtlas + `"`

// reportFormats returns the enum of --format, the default first.
func reportFormats() string {
	var names []string
	for _, f := range report.Formats(report.Terminal{}) {
		names = append(names, f.Name)
	}
	return strings.Join(names, ", ")
}
