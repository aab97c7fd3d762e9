package report

import (
	"cmp"
	"fmt"
	"image/color"
	"slices"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"gotimeout/internal/results"
)

// Timelines draws the goroutines and connections of each strategy of a group
// through load, drain and probe: an SVG file of its own.
func Timelines(g *results.Group) string { return timelinesOf(g).standalone() }

const (
	panelHeight  = 36
	panelMargin  = 26                            // for the scale
	panelsHeight = nameHeight + panelHeight + 12 // with name and gap
)

func timelinesOf(g *results.Group) picture {
	return picture{
		title:  "What there was at each moment, on " + where(g.Key),
		desc:   describeTimelines(g),
		height: vg.Length(36 + 18 + len(g.Rows)*panelsHeight + 34),
		draw: func(c draw.Canvas) {
			c = heading(c, printable(where(g.Key), 48), "of the lab, from the load to what was left in the end")
			timelineLegend(draw.Crop(c, margin, 0, 0, 0))
			p := frame()
			var high float64
			p.X.Min, p.X.Max, high = timelineRange(g)
			p.X.Label.Text = "seconds from the begin of the load"
			p.X.Tick.Marker = thousands{}
			p.HideY()
			p.Add(panels{g, high})
			p.Draw(draw.Crop(c, margin+panelMargin, -14, 2, -18))
		},
	}
}

// moments are the samples of a row in the order of time.
func moments(r *results.Row) []results.Sample {
	return slices.SortedStableFunc(slices.Values(r.Timeline.Samples), func(a, b results.Sample) int { return cmp.Compare(a.At, b.At) })
}

// timelineRange is from when to when there are samples, in seconds, and the most
// of anything.
func timelineRange(g *results.Group) (from, to, high float64) {
	to, high = 1e-3, 1
	for _, r := range g.Rows {
		for _, s := range r.Timeline.Samples {
			from, to = min(from, s.At/1000), max(to, s.At/1000)
			high = max(high, float64(s.Goroutines))
			if s.Connections != nil {
				high = max(high, float64(*s.Connections))
			}
		}
	}
	return from, to, high
}

// series is something that was counted over time, in seconds.
type series struct {
	at, values []float64
	most       float64 // from the load until all had ended, without the probe
}

func (s *series) add(of results.Sample, value int) {
	v := float64(value)
	s.at, s.values = append(s.at, of.At/1000), append(s.values, v)
	switch of.Phase {
	case results.Load, results.Answered, results.Drain, results.Drained:
		s.most = max(s.most, v)
	}
}

// seriesOf are the goroutines and the connections of a row.
func seriesOf(r *results.Row) (goroutines, connections series) {
	for _, s := range moments(r) {
		goroutines.add(s, s.Goroutines)
		if s.Connections != nil {
			connections.add(s, *s.Connections)
		}
	}
	return goroutines, connections
}

// course says a series in three figures: before, the most until all had ended,
// and in the end.
func (s series) course() string {
	if len(s.values) == 0 {
		return "?"
	}
	return fmt.Sprintf("%s → %s → %s", digits(s.values[0]), digits(s.most), digits(s.values[len(s.values)-1]))
}

// steps are the points of its line: what was seen holds until it is looked again.
func (s series) steps(x, y func(float64) vg.Length) (points []vg.Point) {
	for i, at := range s.at {
		if i > 0 {
			points = append(points, vg.Point{X: x(at), Y: points[len(points)-1].Y})
		}
		points = append(points, vg.Point{X: x(at), Y: y(s.values[i])})
	}
	return points
}

func describeTimelines(g *results.Group) string {
	of := make([]string, len(g.Rows))
	for i, r := range g.Rows {
		goroutines, connections := seriesOf(r)
		of[i] = fmt.Sprintf("%s: goroutines %s, connections %s", printable(r.Strategy, 40), goroutines.course(), connections.course())
	}
	return "Two lines a strategy over time; the drain and the probe are shaded. Before, at most until all had ended, and in the end: " + strings.Join(of, "; ") + "."
}

func timelineLegend(c draw.Canvas) {
	x, y := c.Min.X, c.Max.Y-11
	for i, name := range []string{"goroutines", "connections", "drain", "probe"} {
		switch {
		case i < 2:
			stroke(c, ink, 1.5, seriesDashes(i), vg.Point{X: x, Y: y + 4}, vg.Point{X: x + 18, Y: y + 4})
		default:
			c.FillPolygon([]color.Color{drainShade, probeShade}[i-2], box(x, y-1, x+18, y+9))
		}
		text := letters(smallSize, ink, draw.XLeft)
		c.FillText(text, vg.Point{X: x + 22, Y: y + .5}, name)
		x += 22 + text.Width(name) + 12
	}
}

func seriesDashes(i int) []vg.Length {
	if i == 0 {
		return nil
	}
	return []vg.Length{2, 2}
}

// panels are a plot.Plotter: a small plot a strategy, all of the same scale.
type panels struct {
	*results.Group
	high float64
}

func (l panels) Plot(c draw.Canvas, p *plot.Plot) {
	x, _ := p.Transforms(&c)
	scale := letters(smallSize, soft, draw.XRight)
	top := c.Max.Y - 2
	for _, r := range l.Rows {
		goroutines, connections := seriesOf(r)
		c.FillText(bold(letters(textSize, ink, draw.XLeft)), vg.Point{X: c.Min.X - panelMargin, Y: top - 10}, printable(r.Strategy, 24))
		c.FillText(scale, vg.Point{X: c.Max.X, Y: top - 10}, goroutines.course()+" goroutines")
		low, high := top-nameHeight-panelHeight, top-nameHeight-1
		y := func(v float64) vg.Length { return low + vg.Length(v/l.high)*(high-low) }
		drained := x(r.Timeline.Drained / 1000)
		shade(c, drainShade, x(r.Timeline.Answered/1000), low, drained, high)
		if at := lastProbe(r); at > 0 {
			shade(c, probeShade, drained, low, max(x(at/1000), drained+3), high) // however short
		}
		c.FillText(scale, vg.Point{X: c.Min.X - 4, Y: low - 1}, "0")
		c.FillText(scale, vg.Point{X: c.Min.X - 4, Y: high - 7}, digits(l.high))
		stroke(c, soft, .5, nil, vg.Point{X: c.Min.X, Y: low}, vg.Point{X: c.Max.X, Y: low})
		colour := lookOf(r.Strategy, l.Rows).colour
		stroke(c, colour, 1.5, seriesDashes(0), goroutines.steps(x, y)...)
		stroke(c, colour, 1.5, seriesDashes(1), connections.steps(x, y)...)
		top -= panelsHeight
	}
}

// lastProbe is when the probe was seen last, 0 where it wasn't.
func lastProbe(r *results.Row) (at float64) {
	for _, s := range r.Timeline.Samples {
		if s.Phase == results.Probe {
			at = max(at, s.At)
		}
	}
	return at
}

func shade(c draw.Canvas, colour color.Color, x0, y0, x1, y1 vg.Length) {
	x0, x1 = max(x0, c.Min.X), min(x1, c.Max.X)
	if x0 < x1 {
		c.FillPolygon(colour, box(x0, y0, x1, y1))
	}
}
