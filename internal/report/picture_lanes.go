package report

import (
	"fmt"
	"image/color"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"gotimeout/internal/results"
)

// Lanes draws when the calls of the longest delay were answered, when they ended
// and when their backend did, of each strategy of a group: an SVG file of its own.
func Lanes(g *results.Group) string { return lanesOf(g).standalone() }

// The heights in a picture of lanes.
const (
	laneHeight  = 9
	laneStep    = 11
	nameHeight  = 14
	lanesHeight = nameHeight + 3*laneStep + 10 // of a strategy
	lanesMargin = 40                           // for a figure beside the longest bar
)

func lanesOf(g *results.Group) picture {
	second := "the timeout of " + setting(g.Timeout)
	if n := longest(g); n > 0 {
		second = fmt.Sprintf("calls of %s under a timeout of %s, medians", setting(n), setting(g.Timeout))
	}
	return picture{
		title:  "When it was over, on " + where(g.Key),
		desc:   describeLanes(g),
		height: vg.Length(36 + 18 + 16 + len(g.Rows)*lanesHeight + 34),
		draw: func(c draw.Canvas) {
			c = heading(c, printable(where(g.Key), 48), second)
			lanesLegend(draw.Crop(c, margin, 0, 0, 0), g)
			p := frame()
			p.X.Min, p.X.Max = 0, lanesEnd(g)
			p.X.Label.Text = "ms after the request began"
			p.X.Tick.Marker = thousands{}
			p.HideY()
			p.Add(lanes{g})
			p.Draw(draw.Crop(c, margin+2, -lanesMargin, 2, -18))
		},
	}
}

// longest is the longest delay of a group, 0 where it has none.
func longest(g *results.Group) (delay float64) {
	for _, r := range g.Rows {
		for _, d := range r.Delays {
			delay = max(delay, d)
		}
	}
	return delay
}

// times are those of a lane, in the order in which they are drawn.
func times(l results.Lane) [3]*float64 {
	return [3]*float64{l.Answered, l.Ended, l.BackendEnded}
}

var laneNames = [3]string{"answered", "ended", "backend ended"}

func lanesEnd(g *results.Group) float64 {
	end := g.Timeout * 1.05
	for _, r := range g.Rows {
		for _, at := range times(r.Slow) {
			if at != nil {
				end = max(end, *at)
			}
		}
	}
	return max(end, 1)
}

func describeLanes(g *results.Group) string {
	of := make([]string, len(g.Rows))
	for i, r := range g.Rows {
		parts := make([]string, 3)
		for lane, at := range times(r.Slow) {
			parts[lane] = laneNames[lane] + " unknown"
			if at != nil {
				parts[lane] = laneNames[lane] + " " + millis(*at)
			}
		}
		of[i] = printable(r.Strategy, 40) + ": " + strings.Join(parts, ", ")
	}
	return fmt.Sprintf("Bars from 0, three a strategy, against a line at the timeout of %s. %s.", setting(g.Timeout), strings.Join(of, "; "))
}

func lanesLegend(c draw.Canvas, g *results.Group) {
	x, y := c.Min.X, c.Max.Y-11
	for lane, name := range laneNames {
		bar(c, ink, lane, x, y, x+16)
		text := letters(smallSize, ink, draw.XLeft)
		c.FillText(text, vg.Point{X: x + 20, Y: y + .5}, name)
		x += 20 + text.Width(name) + 12
	}
	for _, r := range g.Rows {
		if at := times(r.Slow); at[0] == nil || at[1] == nil || at[2] == nil {
			c.FillText(letters(smallSize, ink, draw.XLeft), vg.Point{X: x, Y: y + .5}, "?  nobody could see")
			return
		}
	}
}

// bar draws one of the three lanes, from x0 to x1 above y.
func bar(c draw.Canvas, colour color.Color, lane int, x0, y, x1 vg.Length) {
	switch x1 = max(x1, x0+1); lane {
	case 0:
		c.FillPolygon(colour, box(x0, y, x1, y+laneHeight))
	case 1:
		hatch(c, colour, x0, y, x1, y+laneHeight)
	default:
		outline(c, colour, x0, y, x1, y+laneHeight)
	}
}

// lanes are a plot.Plotter.
type lanes struct{ *results.Group }

func (l lanes) Plot(c draw.Canvas, p *plot.Plot) {
	x, _ := p.Transforms(&c)
	timeout := x(l.Timeout)
	top := c.Max.Y - 16
	for _, r := range l.Rows {
		name := bold(letters(textSize, ink, draw.XLeft))
		text := printable(r.Strategy, 24)
		c.FillText(name, vg.Point{X: c.Min.X, Y: top - 10}, text)
		l.bars(c, r, x, top-nameHeight)
		from := top + 4
		if c.Min.X+name.Width(text)+2 > timeout {
			from = top - nameHeight + 1 // not through the name
		}
		stroke(c, ink, 1.2, nil, vg.Point{X: timeout, Y: from}, vg.Point{X: timeout, Y: max(c.Min.Y, top-lanesHeight+4)})
		top -= lanesHeight
	}
	label := bold(letters(smallSize, ink, draw.XCenter))
	text := "timeout " + setting(l.Timeout)
	half := label.Width(text) / 2
	c.FillText(label, vg.Point{X: min(max(timeout, c.Min.X+half), c.Max.X+lanesMargin-half), Y: c.Max.Y - 9}, text)
}

// bars draws those of a row, from top downwards, each with its figure.
func (l lanes) bars(c draw.Canvas, r *results.Row, x func(float64) vg.Length, top vg.Length) {
	for lane, at := range times(r.Slow) {
		bottom := top - vg.Length(lane+1)*laneStep + 2
		value := vg.Point{X: c.Min.X + 2, Y: bottom + .5}
		if at == nil {
			c.FillText(letters(smallSize, soft, draw.XLeft), value, "?")
			continue
		}
		bar(c, lookOf(r.Strategy, l.Rows).colour, lane, c.Min.X, bottom, x(*at))
		value.X = x(*at) + 4
		if timeout := x(l.Timeout); value.X < timeout+3 && value.X+28 > timeout {
			value.X = timeout + 4 // not across the line
		}
		c.FillText(letters(smallSize, ink, draw.XLeft), value, digits(*at))
	}
}

// thousands are the ticks of plot.DefaultTicks, with numbers as elsewhere.
type thousands struct{}

func (thousands) Ticks(low, high float64) []plot.Tick {
	ticks := plot.DefaultTicks{}.Ticks(low, high)
	for i := range ticks {
		if !ticks[i].IsMinor() {
			ticks[i].Label = digits(ticks[i].Value)
		}
	}
	return ticks
}
