package report

import (
	"bytes"
	"cmp"
	_ "embed"
	"fmt"
	"html"
	"html/template"
	"io"
	"regexp"
	"strings"
	"sync"

	"gotimeout/internal/badnet"
	"gotimeout/internal/palette"
	"gotimeout/internal/prose"
	"gotimeout/internal/receipt"
	"gotimeout/internal/results"
)

//go:embed atlas.html
var atlasText string

var atlasTemplate = sync.OnceValue(func() *template.Template {
	return template.Must(template.New("atlas").Funcs(template.FuncMap{
		"coded": coded, "account": accountOf, "curl": curlOf, "grades": grades, "anchor": anchor, "setting": setting,
	}).Parse(atlasText))
})

// AtlasHTML writes an atlas as a page that loads nothing and needs no script: the sentences,
// the cells, and of each cell the receipts and the command that makes such a call. Its error
// is that of the writer.
func AtlasHTML(w io.Writer, of *results.Atlas) error {
	a := newAtlas(of)
	var b bytes.Buffer // so that no part of a failed page is written
	err := atlasTemplate().Execute(&b, struct {
		*atlas
		Colours template.CSS
		Asked   string
		Remarks []string
	}{a, palette.Page, a.asked(), a.remarks()})
	if err != nil {
		return err
	}
	_, err = w.Write(b.Bytes())
	return err
}

var backquoted = regexp.MustCompile("`([^`]*)`")

// coded returns text with its backquoted parts as code.
func coded(text string) template.HTML {
	return template.HTML(backquoted.ReplaceAllString(html.EscapeString(text), "<code>$1</code>"))
}

// curlOf is the command that makes a cell's call on a lab, and the network that the lab needs.
func curlOf(c *results.AtlasCell) string { return "curl 'localhost:8000" + c.Path + "'" }

// accountOf is a receipt in one line; ? is not known.
func accountOf(run results.AtlasRun) string {
	clean := "the clean call after it failed"
	if run.Clean {
		clean = "the clean call after it took " + millis(run.CleanMS)
	}
	r := run.Receipt
	if r == nil {
		return cmp.Or(run.Error, "no receipt") + "; " + clean
	}
	status := "?"
	if r.Status != nil {
		status = string(*r.Status)
	}
	if r.Error != nil && r.Error.Code != status {
		status += " (" + r.Error.Code + ")"
	}
	return fmt.Sprintf("%s %s: answered %s, ended %s, backend ended %s; %s left; connections: %s; %s",
		r.ID, status, known(r.Answered), known(r.Ended), known(r.BackendEnded), prose.Count(r.Goroutines, "goroutine"), connectionsOf(r), clean)
}

func known(ms *float64) string {
	if ms == nil {
		return "?"
	}
	return fmt.Sprintf("%.1f ms", *ms)
}

// connectionsOf describes what became of a run's connections.
func connectionsOf(r *receipt.View) string {
	c := r.Connections
	var all []string
	for _, of := range []struct {
		n    int
		what string
	}{{c.Dialed, "dialed"}, {c.Reused, "reused"}, {c.Kept, "kept"}, {c.Closed, "closed"}, {c.RST, "by RST"}} {
		if of.n > 0 {
			all = append(all, fmt.Sprintf("%d %s", of.n, of.what))
		}
	}
	if len(all) == 0 {
		return "none"
	}
	return strings.Join(all, ", ")
}

// AtlasMarkdown writes an atlas as Markdown, whose cells lead to the receipts in the page
// atlas.html beside it. Its error is that of the writer.
func AtlasMarkdown(w io.Writer, of *results.Atlas) error {
	a := newAtlas(of)
	var b strings.Builder
	b.WriteString(a.asked() + "\n\n")
	for _, text := range a.remarks() {
		b.WriteString(text + "\n\n")
	}
	a.markdownOverview(&b)
	for _, c := range a.Clients {
		c.markdown(&b)
	}
	_, err := io.WriteString(w, plain(strings.TrimSuffix(b.String(), "\n")))
	return err
}

// Overview has a row for each strategy: a pair of cells for each client, an aware call and a
// deaf one on the first network.
func (a *atlas) Overview() (rows []atlasRow) {
	for _, s := range a.Strategies {
		row := atlasRow{Strategy: s.Name}
		for _, c := range a.Clients {
			for _, ctx := range a.ctxs {
				e := atlasEntry{Grade: gradeNone}
				if len(c.Heads) > 0 {
					e = a.entry(c.Client, s.Name, atlasHead{ctx, c.Heads[0].Network})
				}
				row.Cells = append(row.Cells, e)
			}
		}
		rows = append(rows, row)
	}
	return rows
}

func (a *atlas) markdownOverview(b *strings.Builder) {
	for _, g := range grades() {
		fmt.Fprintf(b, "%s %s  \n", g.Glyph, g.Means)
	}
	b.WriteString("\n| strategy |")
	for _, c := range a.Clients {
		b.WriteString(" " + c.Name() + " |")
	}
	b.WriteString("\n|---|" + strings.Repeat(":-:|", len(a.Clients)) + "\n")
	for _, row := range a.Overview() {
		fmt.Fprintf(b, "| `%s` |", row.Strategy)
		for i, e := range row.Cells {
			b.WriteString(" " + e.link(e.Grade.Glyph))
			if a.Second(i) {
				b.WriteString(" |")
			}
		}
		b.WriteString("\n")
	}
	b.WriteString("\n")
}

// link is text that leads to the cell's receipts.
func (e atlasEntry) link(text string) string {
	if !e.Shown() {
		return text
	}
	return "[" + text + "](atlas.html#" + e.ID() + ")"
}

func (c atlasClient) markdown(b *strings.Builder) {
	fmt.Fprintf(b, "### %s\n\n", c.Name())
	if c.Server != "" {
		fmt.Fprintf(b, "%s. ", capital(c.Server))
	}
	fmt.Fprintf(b, "Each call takes %s, under a timeout of %s.\n\n", setting(c.Delay), setting(c.Timeout))
	if c.Set != "" {
		fmt.Fprintf(b, "**%s**\n\n", c.Set)
	}
	for _, p := range c.Points {
		fmt.Fprintf(b, "- **%s**: %s\n", p.Lead, p.Text)
	}
	b.WriteString("\n| strategy |")
	for _, head := range c.Heads {
		fmt.Fprintf(b, " %s, %s |", head.Ctx, head.Network)
	}
	b.WriteString("\n|---|" + strings.Repeat("---|", len(c.Heads)) + "\n")
	for _, f := range c.Families {
		for _, row := range f.Rows {
			fmt.Fprintf(b, "| `%s` |", row.Strategy)
			for _, e := range row.Cells {
				b.WriteString(" " + e.link(e.Text) + " |")
			}
			b.WriteString("\n")
		}
	}
	b.WriteString("\n")
}

// Second reports whether a cell of the overview is the last of its client.
func (a *atlas) Second(place int) bool { return place%len(a.ctxs) == len(a.ctxs)-1 }

// Columns is the number of columns of the client's table.
func (c atlasClient) Columns() int { return len(c.Heads) + 1 }

// Shown reports whether there are receipts of the cell.
func (e atlasEntry) Shown() bool { return e.AtlasCell != nil && len(e.AtlasCell.Runs) > 0 }

// Reason says why the lab makes no such call.
func (e atlasEntry) Reason() string {
	if e.AtlasCell == nil {
		return "not run"
	}
	return e.Why
}

// OnNetwork is the command that brings a lab on the cell's network; "" is none.
func (e atlasEntry) OnNetwork() string {
	if e.Network == badnet.None {
		return ""
	}
	return "curl -X PUT localhost:8000/network -d '" + e.Network + "'"
}
