package report

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"gotimeout/internal/badnet"
	"gotimeout/internal/prose"
	"gotimeout/internal/results"
)

// atlas is the account of an atlas: of each client sentences made from its cells, and the
// cells in a table.
type atlas struct {
	*results.Atlas
	ctxs    []string
	Clients []atlasClient
}

// atlasClient is the part of an atlas about one client.
type atlasClient struct {
	results.Client
	ID       string
	Server   string // the server behind it
	Set      string // the sentence on what to set
	Points   []atlasPoint
	Heads    []atlasHead
	Families []atlasFamily
}

// atlasPoint is a sentence with the words that it is about.
type atlasPoint struct{ Lead, Text string }

// atlasHead is the head of a column: whether the calls honour their context, and the network.
type atlasHead struct{ Ctx, Network string }

// atlasFamily has the rows of the strategies of a family.
type atlasFamily struct {
	Name string
	Rows []atlasRow
}

type atlasRow struct {
	Strategy string
	Cells    []atlasEntry // one for each head
}

// atlasEntry is a cell of the table; its cell is nil where there was no run.
type atlasEntry struct {
	*results.AtlasCell
	results.Judgement
	Client results.Client
	Grade  grade
	Text   string
}

// grade is how good the outcome of a cell is.
type grade struct{ Class, Glyph, Means string }

// The grades, the best first.
var (
	gradeClean  = grade{"clean", "●", "answered on time, or at once, and nothing ran on"}
	gradeLeft   = grade{"left", "◐", "answered on time, and the call or its backend ran on"}
	gradeUnseen = grade{"unseen", "?", "answered on time, and nobody could see when the backend stopped"}
	gradeLate   = grade{"late", "○", "answered late: the bound did not hold"}
	gradeFails  = grade{"fails", "✕", "failed, or broke the calls that followed"}
	gradeNone   = grade{"none", "–", "not run, or without a bound"}
)

func grades() []grade {
	return []grade{gradeClean, gradeLeft, gradeUnseen, gradeLate, gradeFails, gradeNone}
}

func newAtlas(of *results.Atlas) *atlas {
	a := &atlas{Atlas: of}
	for _, cell := range of.Cells {
		if !slices.Contains(a.ctxs, cell.Ctx) {
			a.ctxs = append(a.ctxs, cell.Ctx)
		}
	}
	for _, c := range of.Clients {
		a.Clients = append(a.Clients, a.client(c))
	}
	return a
}

func (a *atlas) client(c results.Client) atlasClient {
	of := atlasClient{Client: c, ID: anchor(c)}
	switch {
	case c.Backend != "" && c.Embedded:
		of.Server = c.Backend + " is the lab's stand-in"
	case c.Backend != "":
		of.Server = c.Backend + " is a real one"
	}
	for _, ctx := range a.ctxs {
		for _, network := range a.Networks {
			if a.surveyed(c, network.Profile) {
				of.Heads = append(of.Heads, atlasHead{ctx, network.Profile})
			}
		}
	}
	for _, s := range a.Strategies {
		row := atlasRow{Strategy: s.Name}
		for _, head := range of.Heads {
			row.Cells = append(row.Cells, a.entry(c, s.Name, head))
		}
		if n := len(of.Families); n == 0 || of.Families[n-1].Name != s.Family {
			i := slices.IndexFunc(of.Families, func(f atlasFamily) bool { return f.Name == s.Family })
			if i >= 0 {
				of.Families[i].Rows = append(of.Families[i].Rows, row)
				continue
			}
			of.Families = append(of.Families, atlasFamily{Name: s.Family})
		}
		last := &of.Families[len(of.Families)-1]
		last.Rows = append(last.Rows, row)
	}
	of.Points = a.points(of)
	if len(of.Heads) > 0 {
		of.Set = of.set(a.ctxs, of.Heads[0].Network)
	}
	return of
}

// anchor names the part of a page about a client.
func anchor(c results.Client) string {
	return strings.NewReplacer(", ", ".", "=", "-").Replace(c.Name())
}

func (a *atlas) surveyed(c results.Client, network string) bool {
	return slices.ContainsFunc(a.Cells, func(of *results.AtlasCell) bool {
		return of.Op == c.Op && of.With == c.With && of.Network == network
	})
}

func (a *atlas) entry(c results.Client, strategy string, head atlasHead) atlasEntry {
	cell := a.Cell(c, strategy, head.Ctx, head.Network)
	if cell == nil {
		return atlasEntry{Grade: gradeNone, Text: "–"}
	}
	e := atlasEntry{AtlasCell: cell, Judgement: a.Judge(c, cell), Client: c}
	e.Grade, e.Text = e.grade(), e.text()
	return e
}

func (e atlasEntry) grade() grade {
	switch {
	case e.Answer == results.NotRun, e.Answer == results.Unbounded:
		return gradeNone
	case e.Answer == results.Fails, e.Answer == results.Lost, e.Spoils:
		return gradeFails
	case e.Answer == results.TooLate:
		return gradeLate
	case e.Call == results.RanOn, e.Backend == results.RanOn:
		return gradeLeft
	case e.Call == results.Unseen, e.Backend == results.Unseen:
		return gradeUnseen
	}
	return gradeClean
}

// text is the short text of a cell.
func (e atlasEntry) text() string {
	answer := string(e.Answer)
	switch e.Answer {
	case results.NotRun:
		return "–"
	case results.TooLate:
		return lasting(e.After) + " late"
	case results.Lost:
		return "refused"
	case results.Fails, results.Unbounded:
		return answer
	}
	rest := []string{answer}
	switch {
	case e.Call == results.RanOn && e.Backend == results.RanOn:
		rest = append(rest, "call and server +"+lasting(max(*e.Straggle, *e.Waste)))
	case e.Call == results.RanOn:
		rest = append(rest, "call +"+lasting(*e.Straggle))
	case e.Backend == results.RanOn:
		rest = append(rest, "server +"+lasting(*e.Waste))
	}
	if e.Backend == results.Unseen {
		rest = append(rest, "server ?")
	}
	if e.Spoils {
		rest = append(rest, "pool broken")
	}
	return strings.Join(rest, ", ")
}

// lasting writes milliseconds as a person says them, with a space that breaks no line.
func lasting(ms float64) string {
	if ms < 995 {
		return fmt.Sprintf("%.0f\u00a0ms", ms)
	}
	return fmt.Sprintf("%.1f\u00a0s", ms/1000)
}

// Atlas writes an atlas for a terminal: the sentences on each client.
func Atlas(w io.Writer, of *results.Atlas, width int) error {
	a := newAtlas(of)
	var b strings.Builder
	b.WriteString(prose.Wrap(a.asked(), width))
	for _, c := range a.Clients {
		b.WriteString("\n" + prose.Wrap(strings.TrimSuffix(c.Name()+": "+c.Server, ": "), width))
		if c.Set != "" {
			b.WriteString(prose.Wrap(unquoted(c.Set), width))
		}
		for _, p := range c.Points {
			b.WriteString("- " + prose.Hang(p.Lead+": "+unquoted(p.Text), 2, width) + "\n")
		}
	}
	for _, text := range a.remarks() {
		b.WriteString("\n" + prose.Wrap(text, width))
	}
	_, err := io.WriteString(w, plain(b.String()))
	return err
}

func unquoted(text string) string { return strings.ReplaceAll(text, "`", "") }

// asked is a sentence on what was run, and where.
func (a *atlas) asked() string {
	return fmt.Sprintf("%s with %s, %s each, on %s. %s, gotimeout %s, %s, %s %s, %d × %s.",
		plural(float64(len(a.Strategies)), "strategy"), plural(float64(len(a.Clients)), "client"), prose.Count(a.Repeat, "call"), prose.And(a.onNetworks()),
		a.Started.UTC().Format("2 January 2006, 15:04 ")+time.UTC.String(), cmp.Or(a.Lab.Version, "?"), cmp.Or(a.Lab.Go, "?"), a.Lab.OS, a.Lab.Kernel, a.Lab.Processors, cmp.Or(a.Lab.CPU, "?"))
}

// onNetworks names the networks, with their measured round trips.
func (a *atlas) onNetworks() (all []string) {
	for _, n := range a.Networks {
		text := "network " + n.Profile
		if n.RoundTrip != nil && n.Profile != badnet.None {
			text += fmt.Sprintf(" (%s there and back, by %s)", lasting(*n.RoundTrip), n.Driver)
		}
		all = append(all, text)
	}
	return all
}

// remarks are sentences that limit what the atlas tells.
func (a *atlas) remarks() (all []string) {
	if a.Interrupted {
		all = append(all, "The atlas was interrupted: cells are missing, or of fewer calls.")
	}
	for _, of := range a.LeftOut {
		all = append(all, fmt.Sprintf("The op %s is left out: %s.", of.Op, strings.TrimSuffix(of.Why, ".")))
	}
	var goroutines []string
	for _, n := range a.Networks {
		if n.After != nil {
			goroutines = append(goroutines, fmt.Sprintf("on %s %d before the calls and %d when all had ended and idle connections were closed", n.Profile, n.Before, *n.After))
		}
	}
	if len(goroutines) > 0 {
		all = append(all, "The lab had goroutines: "+strings.Join(goroutines, "; ")+".")
	}
	return all
}
