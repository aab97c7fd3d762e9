package report

import (
	"math"
	"slices"

	"gotimeout/internal/results"
)

// heatMap is a column over all groups: a row a strategy, a cell a group.
type heatMap struct {
	Caption, Text string
	Heads         []string
	Rows          []heatRow
}

type heatRow struct {
	Strategy string
	Cells    []heatCell
}

// heatCell is a figure and how hot it is, from 0 to 100.
type heatCell struct {
	pageCell
	Href string
	Heat int
}

func (p *page) heat() (maps []heatMap) {
	if len(p.groups) == 0 {
		return nil
	}
	for _, of := range []struct {
		place         int
		caption, text string
	}{
		{results.OvershootP99, "Overshoot, p99", "ms: answered less timeout"},
		{results.WastePer1000, "Waste", "backend seconds for nobody per 1,000 requests"},
	} {
		m := heatMap{Caption: of.caption, Text: of.text}
		for _, g := range p.groups {
			m.Heads = append(m.Heads, p.where(g.Key))
			for _, r := range g.Rows {
				if !slices.ContainsFunc(m.Rows, func(h heatRow) bool { return h.Strategy == r.Strategy }) {
					m.Rows = append(m.Rows, heatRow{Strategy: r.Strategy})
				}
			}
		}
		for i := range m.Rows {
			for _, g := range p.groups {
				m.Rows[i].Cells = append(m.Rows[i].Cells, p.heatCell(g, m.Rows[i].Strategy, of.place))
			}
		}
		maps = append(maps, m)
	}
	return maps
}

func (p *page) heatCell(g *results.Group, strategy string, place int) heatCell {
	for _, r := range g.Rows {
		if r.Strategy == strategy {
			return heatCell{p.cell(r, place), "#" + p.ids[r], hot(judged{r, g.Floor, p.Run}.beyond(place, 0))}
		}
	}
	return heatCell{pageCell: pageCell{Text: "", Why: "not run"}}
}

// hot is 0 up to 1, where the machine's own noise is, and 100 from 1,000 on, each
// digit as much hotter.
func hot(beyond float64) int {
	if beyond <= 1 {
		return 0
	}
	return int(min(100, 100*math.Log10(beyond)/3))
}
