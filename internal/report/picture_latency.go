package report

import (
	"fmt"
	"math"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"gotimeout/internal/results"
)

// Latency draws how long the callers of each strategy of a group waited, from
// the median to one in a thousand: an SVG file of its own.
func Latency(g *results.Group) string { return latencyOf(g).standalone() }

const (
	latencyHeight = 250 // of the plot with its axes
	legendStep    = 15
)

func latencyOf(g *results.Group) picture {
	lines := (len(g.Rows) + 1) / 2
	return picture{
		title:  "How long callers waited, on " + where(g.Key),
		desc:   describeLatency(g),
		height: vg.Length(36 + latencyHeight + lines*legendStep + 8),
		draw: func(c draw.Canvas) {
			c = heading(c, printable(where(g.Key), 48), "all calls: so many had their answer within…")
			legend(draw.Crop(c, margin, 0, 0, -latencyHeight), g.Rows)
			p := frame()
			p.X.Min, p.X.Max = 0, 3
			p.X.Tick.Marker = plot.ConstantTicks{
				{Value: 0, Label: "0"}, {Value: tail(50), Label: "50 %"}, {Value: 1, Label: "90 %"}, {Value: 2, Label: "99 %"}, {Value: 3, Label: "99.9 %"},
			}
			p.Y.Min, p.Y.Max = latencyRange(g)
			p.Y.Scale = plot.LogScale{}
			p.Y.Tick.Marker = decades{}
			p.Add(grid{})
			for _, r := range g.Rows {
				p.Add(curve{r, lookOf(r.Strategy, g.Rows)})
			}
			p.Add(bound(g.Timeout))
			p.Draw(draw.Crop(c, margin, -22, c.Max.Y-c.Min.Y-latencyHeight, -6))
		},
	}
}

// tail spreads percentiles so that each further nine takes as much room.
func tail(percent float64) float64 { return -math.Log10(1 - percent/100) }

// onScale is a time in milliseconds, within what a logarithmic axis shows: ten
// microseconds to some days.
func onScale(v float64) float64 { return min(max(v, 0.01), 1e9) }

func latencyRange(g *results.Group) (low, high float64) {
	low, high = onScale(g.Timeout), onScale(g.Timeout)
	for _, r := range g.Rows {
		if n := len(r.Answered); n > 0 {
			low, high = min(low, onScale(r.Answered[0])), max(high, onScale(r.Answered[n-1]))
		}
	}
	return math.Pow(10, math.Floor(math.Log10(low))), high * 1.3
}

func describeLatency(g *results.Group) string {
	of := make([]string, len(g.Rows))
	for i, r := range g.Rows {
		of[i] = printable(r.Strategy, 40) + ": unknown"
		if len(r.Answered) > 0 {
			of[i] = fmt.Sprintf("%s: half within %s, 90 %% within %s, 99 %% within %s, all within %s", printable(r.Strategy, 40),
				millis(results.Percentile(r.Answered, 50)), millis(results.Percentile(r.Answered, 90)),
				millis(results.Percentile(r.Answered, 99)), millis(r.Answered[len(r.Answered)-1]))
		}
	}
	return fmt.Sprintf("A curve a strategy: across the percentile of calls, upwards the time until they were answered, on a logarithmic axis, against a line at the timeout of %s. %s.", setting(g.Timeout), strings.Join(of, "; "))
}

// curve is the distribution of a row's answers, a plot.Plotter.
type curve struct {
	*results.Row
	look
}

func (l curve) Plot(c draw.Canvas, p *plot.Plot) {
	n := len(l.Answered)
	if n == 0 {
		return
	}
	x, y := p.Transforms(&c)
	at := func(across float64) vg.Point {
		percent := 100 * (1 - math.Pow(10, -across))
		return vg.Point{X: x(across), Y: y(onScale(results.Percentile(l.Answered, percent)))}
	}
	end := min(3, math.Log10(float64(2*n))) // where the longest stands for itself
	const steps = 180
	var points []vg.Point
	for i := range steps + 1 {
		next := at(end * float64(i) / steps)
		if k := len(points); k > 1 && points[k-1].Y == next.Y && points[k-2].Y == next.Y {
			points = points[:k-1]
		}
		points = append(points, next)
	}
	stroke(c, l.colour, 1.7, l.dashes, points...)
	for across := 0.12 + 0.09*float64(l.place%8); across < end; across += 0.8 {
		c.DrawGlyph(draw.GlyphStyle{Color: l.colour, Radius: 2.6, Shape: l.marker}, at(across))
	}
}

// bound is the line of a timeout, a plot.Plotter.
type bound float64

func (b bound) Plot(c draw.Canvas, p *plot.Plot) {
	_, y := p.Transforms(&c)
	at := y(onScale(float64(b)))
	stroke(c, ink, 1.2, nil, vg.Point{X: c.Min.X, Y: at}, vg.Point{X: c.Max.X, Y: at})
	c.FillText(bold(letters(smallSize, ink, draw.XRight)), vg.Point{X: c.Max.X - 4, Y: at - 14}, "timeout "+setting(float64(b)))
}

// grid draws a line at each tick that has a label, a plot.Plotter.
type grid struct{}

func (grid) Plot(c draw.Canvas, p *plot.Plot) {
	g := plotter.NewGrid()
	g.Horizontal = draw.LineStyle{Color: faint, Width: .7}
	g.Vertical = g.Horizontal
	g.Plot(c, p)
}

// decades are the ticks of a logarithmic axis in milliseconds.
type decades struct{}

func (decades) Ticks(low, high float64) (ticks []plot.Tick) {
	for at := low; at <= high; at *= 10 {
		label := millis(at)
		if at >= 1000 {
			label = digits(at/1000) + " s"
		}
		ticks = append(ticks, plot.Tick{Value: at, Label: label})
		for i := 2.0; i < 10 && i*at <= high; i++ {
			ticks = append(ticks, plot.Tick{Value: i * at})
		}
	}
	return ticks
}

// legend shows each strategy's line, in two columns from the top.
func legend(c draw.Canvas, rows []*results.Row) {
	for i, r := range rows {
		l := lookOf(r.Strategy, rows)
		x := c.Min.X + vg.Length(i%2)*(pictureWidth-2*margin)/2
		y := c.Max.Y - vg.Length(i/2+1)*legendStep
		stroke(c, l.colour, 1.7, l.dashes, vg.Point{X: x, Y: y + 3.5}, vg.Point{X: x + 30, Y: y + 3.5})
		c.DrawGlyphNoClip(draw.GlyphStyle{Color: l.colour, Radius: 2.6, Shape: l.marker}, vg.Point{X: x + 15, Y: y + 3.5})
		c.FillText(letters(smallSize, ink, draw.XLeft), vg.Point{X: x + 36, Y: y}, printable(r.Strategy, 24))
	}
}
