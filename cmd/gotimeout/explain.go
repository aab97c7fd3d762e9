package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"gotimeout/internal/prose"
	"gotimeout/internal/results"
)

type explainCmd struct {
	Column string `arg:"" help:"A column of compare, such as waste or overshoot_p99_ms; all is every one."`
}

// Help returns the text of the help above the flags. kong calls it.
func (explainCmd) Help() string {
	return `A part of a name explains each column that has the part.

  gotimeout explain waste`
}

// Run explains the columns. kong calls it.
func (c *explainCmd) Run(_ context.Context, to streams) error {
	asked := asName(c.Column)
	var names []string
	var b strings.Builder
	for _, column := range results.Columns() {
		names = append(names, column.Name)
		if asked == "all" || strings.Contains(column.Name, asked) || strings.Contains(asName(column.Title), asked) {
			explain(&b, column, to.columns(to.out))
		}
	}
	if b.Len() == 0 {
		return usagef("%s", prose.Unknown("column", c.Column, names))
	}
	_, err := io.WriteString(to.out, strings.TrimPrefix(b.String(), "\n"))
	return err
}

// asName writes a title as the name of a column.
func asName(title string) string {
	return strings.NewReplacer(" ", "_", "-", "_").Replace(strings.ToLower(title))
}

func explain(b *strings.Builder, c results.Column, width int) {
	unit, better := c.Unit, ""
	if unit == "" {
		unit = "a count"
	}
	if c.Less {
		better = " Less is better."
	}
	fmt.Fprintf(b, "\n%s (%s, %s)\n%s", c.Title, c.Name, unit, prose.Wrap(c.Doc+better, width))
}
