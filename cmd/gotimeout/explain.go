package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"gotimeout/internal/explain"
	"gotimeout/internal/prose"
	"gotimeout/internal/results"
)

type explainCmd struct {
	Text string `arg:"" help:"A message that a timeout ends in, or a line of a log that has one; or a column of compare, such as waste. all is every column, messages is every message."`
}

// Help returns the text of the help above the flags. kong calls it.
func (explainCmd) Help() string {
	return `Of a message it says which phase or bound it comes from, how to make it here beside
a lab on localhost:8000, and what to do. Of a column it says the meaning; a part of
a name explains each column that has the part.

  gotimeout explain 'net/http: timeout awaiting response headers'
  gotimeout explain 57014
  gotimeout explain waste`
}

// Run explains columns, or messages where no column has the name. kong calls it.
func (c *explainCmd) Run(_ context.Context, to streams) error {
	asked := asName(c.Text)
	var names []string
	var b strings.Builder
	for _, column := range results.Columns() {
		names = append(names, column.Name)
		if asked == "all" || strings.Contains(column.Name, asked) || strings.Contains(asName(column.Title), asked) {
			explainColumn(&b, column, to.columns(to.out))
		}
	}
	if b.Len() == 0 {
		messages := explain.Find(c.Text)
		if c.Text == "messages" {
			messages = explain.Messages()
		}
		for _, m := range messages {
			explainMessage(&b, m, to.columns(to.out))
		}
	}
	switch {
	case b.Len() > 0:
	case strings.ContainsAny(strings.TrimSpace(c.Text), " \t\n"):
		return usagef("explain knows no message in this text; gotimeout explain messages prints those that it knows")
	default:
		return usagef("%s; of the messages that explain knows none has it, see gotimeout explain messages", prose.Unknown("column", c.Text, names))
	}
	_, err := io.WriteString(to.out, strings.TrimPrefix(b.String(), "\n"))
	return err
}

// asName writes a title as the name of a column.
func asName(title string) string {
	return strings.NewReplacer(" ", "_", "-", "_").Replace(strings.ToLower(title))
}

func explainColumn(b *strings.Builder, c results.Column, width int) {
	unit, better := c.Unit, ""
	if unit == "" {
		unit = "a count"
	}
	if c.Less {
		better = " Less is better."
	}
	fmt.Fprintf(b, "\n%s (%s, %s)\n%s", c.Title, c.Name, unit, prose.Wrap(c.Doc+better, width))
}

func explainMessage(b *strings.Builder, m explain.Message, width int) {
	fmt.Fprintf(b, "\n%s\n", prose.Hang(m.Texts[0], 0, width))
	for _, line := range [][2]string{{"from", m.From}, {"make", m.Otherwise}, {"do", m.Do}} {
		if line[0] == "make" && m.Make != "" {
			fmt.Fprintf(b, "  make  %s\n", m.Make) // in one line, to copy
			continue
		}
		fmt.Fprintf(b, "  %-6s%s\n", line[0], prose.Hang(line[1], 8, width))
	}
}
