package report

import (
	"fmt"
	"io"
	"strings"

	"gotimeout/internal/results"
)

// Markdown writes results as tables for a README.
func Markdown(w io.Writer, r *results.Results) error {
	var b strings.Builder
	a := newAccount(r)
	verdicts, sentences := a.text()
	for _, text := range append(verdicts, remarks(r)...) {
		fmt.Fprintf(&b, "**%s**\n\n", escaped(text))
	}
	for _, text := range sentences {
		fmt.Fprintf(&b, "- %s\n", escaped(text))
	}
	if len(sentences) > 0 {
		b.WriteString("\n")
	}
	fmt.Fprintf(&b, "%s.\n", escaped(origin(r)))
	groups := a.groups
	for _, g := range groups {
		fmt.Fprintf(&b, "\n**%s**\n", escaped(strings.Join(headings(r, g), "; ")))
		for _, of := range blocks() {
			head := []string{of.title}
			for _, c := range of.columns {
				head = append(head, c.title())
			}
			b.WriteString("\n")
			markdownHead(&b, head, 1)
			for _, row := range rows(g) {
				line := []string{row.Strategy}
				for _, c := range of.columns {
					line = append(line, c.shown(r, row))
				}
				markdownRow(&b, line)
			}
		}
	}
	if len(groups) > 0 {
		markdownList(&b, allTerms())
	}
	markdownList(&b, notes(r))
	_, err := io.WriteString(w, plain(b.String()))
	return err
}

// title returns the long name of the column.
func (c column) title() string {
	of := results.Columns()[c.places[0]]
	text := of.Title
	if len(c.places) > 1 {
		text += "/ideal"
	}
	if of.Unit != "" {
		text += ", " + of.Unit
	}
	return text
}

// markdownHead begins a table whose first columns are text.
func markdownHead(b *strings.Builder, head []string, text int) {
	markdownRow(b, head)
	for i := range head {
		if i < text {
			b.WriteString("|---")
		} else {
			b.WriteString("|--:")
		}
	}
	b.WriteString("|\n")
}

func markdownRow(b *strings.Builder, texts []string) {
	for _, text := range texts {
		fmt.Fprintf(b, "| %s ", escaped(text))
	}
	b.WriteString("|\n")
}

func markdownList(b *strings.Builder, texts []string) {
	if len(texts) > 0 {
		b.WriteString("\n")
	}
	for _, text := range texts {
		fmt.Fprintf(b, "- %s\n", escaped(text))
	}
}

// escaped escapes text for Markdown.
func escaped(text string) string {
	return strings.NewReplacer("|", `\|`, "*", `\*`, "_", `\_`, "<", "&lt;", "\n", " ").Replace(text)
}

// markdown writes every column.
func (c *comparison) markdown(w io.Writer) error {
	var b strings.Builder
	markdownList(&b, []string{"old: " + origin(c.old), "new: " + origin(c.new)})
	if len(c.differences) > 0 {
		b.WriteString("\n" + unfair + "\n")
	}
	var differences []string
	for _, d := range c.differences {
		differences = append(differences, d.text())
	}
	markdownList(&b, differences)
	for _, row := range c.rows {
		fmt.Fprintf(&b, "\n**%s on %s**\n\n", escaped(row.Strategy), escaped(place(row.Key)))
		markdownHead(&b, []string{"column", "old", "new", "change", "p", "verdict"}, 1)
		for _, ch := range row.changes {
			markdownRow(&b, ch.texts())
		}
	}
	markdownList(&b, c.sentences())
	_, err := io.WriteString(w, plain(b.String()))
	return err
}
