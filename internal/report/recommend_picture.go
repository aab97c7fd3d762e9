package report

import (
	"fmt"
	"math"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"gotimeout/internal/results"
)

const sweepHeight = 250 // of the plot with its axes

// sharesOf draws the false timeouts of each strategy by timeout, beside the
// sample's, the target and the interval.
func sharesOf(r *results.Recommendation) picture {
	p := sweepPicture{r: r, second: "share of false timeouts, by timeout", least: leastDrawn(r),
		of: func(s results.Swept) *float64 { return &s.Share }}
	return p.picture("False timeouts, on "+where(r.Sample.Key), fmt.Sprintf(
		"A line a strategy: across the timeout, upwards the share of calls that it cut, on a logarithmic axis, against a line at the target of %s. The recommended timeout, %s, is marked, and its interval shaded.",
		inPercent(r.Target), millis(r.Timeout)), inPercent)
}

// wasteOf draws the waste of each strategy by timeout.
func wasteOf(r *results.Recommendation) picture {
	p := sweepPicture{r: r, second: "waste: backend seconds for nobody per 1,000 requests, by timeout",
		of: func(s results.Swept) *float64 { return s.Waste }}
	return p.picture("Waste, on "+where(r.Sample.Key),
		"A line a strategy: across the timeout, upwards the seconds that backends worked for nobody, per 1,000 requests.", digits)
}

// leastDrawn is the bottom of the logarithmic axis, at which none is drawn.
func leastDrawn(r *results.Recommendation) float64 {
	least := r.Target
	for _, s := range r.Sweep {
		if s.Share > 0 {
			least = min(least, s.Share)
		}
	}
	return least / 3
}

// sweepPicture is a figure of a sweep, by timeout, a plot.Plotter.
type sweepPicture struct {
	r      *results.Recommendation
	second string
	least  float64 // of the logarithmic axis, 0 where it is none
	of     func(results.Swept) *float64
}

func (s sweepPicture) picture(title, desc string, text func(float64) string) picture {
	rows := []*results.Row{{Key: results.Key{Strategy: results.SampleName}}}
	if s.least == 0 {
		rows = nil
	}
	for _, name := range sweptStrategies(s.r) {
		rows = append(rows, &results.Row{Key: results.Key{Strategy: name}})
	}
	lines := (len(rows) + 1) / 2
	return picture{
		title:  title,
		desc:   desc + " " + s.describe(text),
		height: vg.Length(36 + sweepHeight + lines*legendStep + 8),
		draw: func(c draw.Canvas) {
			c = heading(c, printable(where(s.r.Sample.Key), 48), s.second)
			legend(draw.Crop(c, margin, 0, 0, -sweepHeight), rows)
			p := frame()
			p.X.Label.Text = "timeout, ms"
			p.X.Tick.Marker = thousands{}
			p.X.Min, p.X.Max = s.across()
			p.Y.Min, p.Y.Max = 0, s.highest()
			if s.least > 0 {
				p.Y.Min, p.Y.Max, p.Y.Scale, p.Y.Tick.Marker = s.least, 1, plot.LogScale{}, shareTicks{}
			}
			p.Add(grid{}, s)
			p.Draw(draw.Crop(c, margin, -22, c.Max.Y-c.Min.Y-sweepHeight, -6))
		},
	}
}

// describe says each figure.
func (s sweepPicture) describe(text func(float64) string) string {
	var of []string
	for _, name := range sweptStrategies(s.r) {
		var parts []string
		for _, at := range s.r.Sweep {
			if v := s.of(at); at.Strategy == name && v != nil {
				parts = append(parts, text(*v)+" at "+millis(at.Timeout))
			}
		}
		of = append(of, printable(name, 40)+": "+strings.Join(parts, ", "))
	}
	return strings.Join(of, "; ") + "."
}

// across is the range of timeouts, with a little room.
func (s sweepPicture) across() (low, high float64) {
	low, high = s.r.Timeout, s.r.Timeout
	for _, at := range s.r.Sweep {
		low, high = min(low, at.Timeout), max(high, at.Timeout)
	}
	room := max(1, (high-low)/20)
	return max(0, low-room), high + room
}

func (s sweepPicture) highest() float64 {
	high := 0.001
	for _, at := range s.r.Sweep {
		if v := s.of(at); v != nil {
			high = max(high, *v)
		}
	}
	return high * 1.05
}

// Plot draws the lines, on the target and the interval.
func (s sweepPicture) Plot(c draw.Canvas, p *plot.Plot) {
	x, y := p.Transforms(&c)
	if s.least > 0 {
		s.target(c, x, y)
	}
	for _, name := range sweptStrategies(s.r) {
		look := lookOf(name, s.r.Of.Rows)
		var points []vg.Point
		for _, at := range s.r.Sweep {
			if v := s.of(at); at.Strategy == name && v != nil {
				points = append(points, vg.Point{X: x(at.Timeout), Y: y(max(*v, s.least))})
			}
		}
		if len(points) > 1 {
			stroke(c, look.colour, 1.7, look.dashes, points...)
		}
		for _, at := range points {
			c.DrawGlyphNoClip(draw.GlyphStyle{Color: look.colour, Radius: 2.6, Shape: look.marker}, at)
		}
	}
}

func (s sweepPicture) target(c draw.Canvas, x, y func(float64) vg.Length) {
	high := s.r.Timeout
	if s.r.High != nil {
		high = *s.r.High
	}
	shade(c, probeShade, x(s.r.Low), c.Min.Y, max(x(high), x(s.r.Low)+1), c.Max.Y)
	stroke(c, ink, .8, nil, vg.Point{X: x(s.r.Timeout), Y: c.Min.Y}, vg.Point{X: x(s.r.Timeout), Y: c.Max.Y})
	at := y(s.r.Target)
	stroke(c, ink, 1.2, nil, vg.Point{X: c.Min.X, Y: at}, vg.Point{X: c.Max.X, Y: at})
	label := letters(smallSize, ink, draw.XRight)
	c.FillText(bold(label), vg.Point{X: c.Max.X - 2, Y: at + 4}, "target "+inPercent(s.r.Target))

	look := lookOf(results.SampleName, s.r.Of.Rows)
	var points []vg.Point
	low, most := s.across()
	for i := range 181 {
		timeout := low + (most-low)*float64(i)/180
		points = append(points, vg.Point{X: x(timeout), Y: y(max(results.ShareOver(s.r.Sample.Took, timeout), s.least))})
	}
	stroke(c, look.colour, 1.2, look.dashes, points...)
}

// shareTicks are the ticks of a logarithmic axis of shares, and of none at its
// bottom.
type shareTicks struct{}

func (shareTicks) Ticks(low, high float64) []plot.Tick {
	ticks := []plot.Tick{{Value: low, Label: "0"}}
	for e := math.Ceil(math.Log10(low * 1.5)); e <= 0; e++ {
		at := math.Pow(10, e)
		ticks = append(ticks, plot.Tick{Value: at, Label: inPercent(at)})
		for i := 2.0; i < 10 && i*at < high; i++ {
			ticks = append(ticks, plot.Tick{Value: i * at})
		}
	}
	return ticks
}
