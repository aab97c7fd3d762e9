package report

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"gotimeout/internal/results"
)

// part is a piece of a sentence: a row to go to, or text.
type part struct{ Text, Href, Strategy string }

// sentence is made from figures. A serious one is of harm to other calls.
type sentence struct {
	Serious bool
	Parts   []part
}

const (
	mostSentences = 8
	mostAlso      = 3 // further rows that a sentence names
)

// finding is what a rule says of a row.
type finding struct {
	row   *results.Row
	size  float64 // to choose the worst by
	say   string  // goes on after "context-cancel on db "
	short string  // the figure alone
}

// sentences are the most telling ones of the results: one a rule, of its worst
// row, and last which strategies left no work behind.
func (p *page) sentences() (all []sentence) {
	remarked := map[*results.Row]bool{}
	for _, of := range rules() {
		var found []finding
		for _, g := range p.groups {
			for _, r := range g.Rows {
				if f := of.find(judged{r, g.Floor, p.Run}); f.size > 0 {
					f.row = r
					found = append(found, f)
					remarked[r] = remarked[r] || !of.cost
				}
			}
		}
		if len(found) == 0 {
			continue
		}
		slices.SortStableFunc(found, func(a, b finding) int { return cmp.Compare(b.size, a.size) })
		all = append(all, p.sentence(of.serious, found))
	}
	best := p.best(remarked)
	best = best[:min(len(best), mostSentences/2)]
	return append(all[:min(len(all), mostSentences-len(best))], best...)
}

func (p *page) sentence(serious bool, found []finding) sentence {
	s := sentence{serious, []part{p.link(found[0].row), {Text: " " + found[0].say}}}
	also := found[1:]
	for i, f := range also[:min(len(also), mostAlso)] {
		s.Parts = append(s.Parts, part{Text: [2]string{"; also ", ", "}[min(i, 1)]}, p.link(f.row), part{Text: " (" + f.short + ")"})
	}
	if n := len(also) - mostAlso; n > 0 {
		s.Parts = append(s.Parts, part{Text: " and " + digits(float64(n)) + " more"})
	}
	s.Parts = append(s.Parts, part{Text: "."})
	return s
}

// best are the strategies on each op that left no work behind, where others did.
func (p *page) best(remarked map[*results.Row]bool) (all []sentence) {
	for _, g := range p.groups {
		var clean []*results.Row
		others := 0
		for _, r := range g.Rows {
			switch {
			case r.Unbounded:
			case remarked[r] || orZero(r, results.Failed)+orZero(r, results.Refused) > 0 || r.Figures[results.OvershootP99] == nil || r.Figures[results.StraggleP99] == nil || r.Figures[results.WastePer1000] == nil:
				others++
			default:
				clean = append(clean, r)
			}
		}
		if len(clean) > 0 && others > 0 {
			all = append(all, p.praise(g, clean))
		}
	}
	return all
}

func (p *page) praise(g *results.Group, clean []*results.Row) sentence {
	s := sentence{Parts: []part{{Text: "On " + p.where(g.Key) + ", "}}}
	worst := func(place int) (v float64) {
		for _, r := range clean {
			v = max(v, orZero(r, place))
		}
		return v
	}
	for i, r := range clean {
		if i > 0 {
			s.Parts = append(s.Parts, part{Text: [2]string{", ", " and "}[i/(len(clean)-1)]})
		}
		s.Parts = append(s.Parts, part{Strategy: r.Strategy, Href: p.link(r).Href})
	}
	of := judged{clean[0], g.Floor, p.Run}
	s.Parts = append(s.Parts, part{Text: fmt.Sprintf(" left no work behind: it ended within %s of the answer (p99), backends spent %s s for nobody per 1,000 requests, and the answer came at most %s after the timeout (p99%s).",
		millis(max(0.1, worst(results.StraggleP99))), digits(worst(results.WastePer1000)), millis(worst(results.OvershootP99)), of.beside(results.OvershootP99, "; ", millis))})
	return s
}

// link leads to a row, if it is in a table.
func (p *page) link(r *results.Row) part {
	on := " on " + p.where(r.Key)
	if id := p.ids[r]; id != "" {
		return part{Strategy: r.Strategy, Text: on, Href: "#" + id}
	}
	return part{Text: r.Strategy + on}
}

// judged is a row beside its floor.
type judged struct {
	*results.Row
	floor *results.Row
	run   *results.Run
}

// orZero returns a figure, 0 where it is not known.
func orZero(r *results.Row, place int) float64 {
	if r == nil || r.Figures[place] == nil {
		return 0
	}
	return *r.Figures[place]
}

// beyond is by how much a figure exceeds the floor's, where that is more than
// what chance does; otherwise, and where it is not known, 0.
func (j judged) beyond(place int, chance float64) float64 {
	if more := orZero(j.Row, place) - orZero(j.floor, place); more > chance {
		return more
	}
	return 0
}

// beside holds the floor's figure beside, where there is one.
func (j judged) beside(place int, before string, format func(float64) string) string {
	if j.floor == nil || j.floor.Figures[place] == nil {
		return ""
	}
	return before + "the floor's: " + format(orZero(j.floor, place))
}

// bracketed is beside in brackets, or nothing.
func (j judged) bracketed(place int, format func(float64) string) string {
	s := j.beside(place, "", format)
	if s != "" {
		s = " (" + s + ")"
	}
	return s
}

// plural is a number with its noun.
func plural(n float64, noun string) string {
	switch {
	case n == 1:
	case strings.HasSuffix(noun, "y"):
		noun = strings.TrimSuffix(noun, "y") + "ies"
	default:
		noun += "s"
	}
	return digits(n) + " " + noun
}
