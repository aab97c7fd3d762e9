package report

import (
	"fmt"
	"html/template"
	"slices"
	"strconv"
	"strings"

	"gotimeout/internal/results"
)

// pageTable is a group's: a row a strategy, and the floor.
type pageTable struct {
	Number  int
	Caption string
	About   string // delays and what a call takes alone
	Rows    []pageRow
	Floor   *pageRow
}

type pageRow struct {
	ID, Strategy, Family string
	Notes                []string
	Cells                []pageCell
}

// pageCell is a figure: its text, and the number to sort by, "" where not known.
type pageCell struct{ Text, Value, Why string }

func (p *page) tables() {
	for i, g := range p.groups {
		t := pageTable{Number: i + 1, Caption: p.where(g.Key), About: about(g)}
		for _, r := range g.Rows {
			t.Rows = append(t.Rows, p.row(p.ids[r], r))
		}
		if g.Floor != nil {
			floor := p.row(floorID(i), g.Floor)
			floor.Family = "calls of " + settings(g.Floor.Delays)
			if onNetwork(g.Floor) {
				floor.Family += " over " + g.Floor.Network
			}
			t.Floor = &floor
		}
		p.Tables = append(p.Tables, t)
	}
	p.PrintCSS = printed()
}

func (p *page) row(id string, r *results.Row) pageRow {
	t := pageRow{ID: id, Strategy: r.Strategy, Family: r.Family, Notes: r.Notes}
	for place := range results.Columns() {
		t.Cells = append(t.Cells, p.cell(r, place))
	}
	return t
}

func (p *page) cell(r *results.Row, place int) pageCell {
	switch shown(p.results, r, place) {
	case "-":
		return pageCell{Text: "–", Why: "there is no such thing"}
	case "?":
		return pageCell{Text: "?", Why: "not known"}
	}
	v := *r.Figures[place]
	return pageCell{Text: digits(v), Value: strconv.FormatFloat(v, 'g', 8, 64)}
}

// about is what the rows of a group share.
func about(g *results.Group) string {
	if len(g.Rows) == 0 {
		return ""
	}
	r := g.Rows[0]
	each := make([]string, len(r.Delays))
	for i, d := range r.Delays {
		each[i] = setting(d)
		if i < len(r.Nominal) && d < g.Timeout { // of a longer one no call was made
			each[i] += " (alone " + millis(r.Nominal[i]) + ")"
		}
	}
	slices.Sort(each)
	each = slices.Compact(each)
	return fmt.Sprintf("Timeout %s; calls of %s.", setting(g.Timeout), strings.Join(each, ", "))
}

// printed is CSS that names each figure beside it: on paper a row is a paragraph.
func printed() template.CSS {
	var b strings.Builder
	for i, c := range results.Columns() {
		fmt.Fprintf(&b, ".figures td:nth-child(%d)::before{content:%q}", i+2, strings.TrimSpace(c.Title+" "+c.Unit)+": ")
	}
	return template.CSS(b.String())
}
