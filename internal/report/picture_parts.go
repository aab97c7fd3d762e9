package report

import (
	"image/color"

	"golang.org/x/image/font"
	"gonum.org/v1/plot"
	fonts "gonum.org/v1/plot/font"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// The sizes of text. The picture shrinks to 0.9 of itself on a narrow phone.
const (
	textSize  = 11
	smallSize = 10
	margin    = 1
)

// letters is a style of text.
func letters(size vg.Length, colour color.Color, x text.XAlignment) text.Style {
	return text.Style{
		Font:    fonts.Font{Typeface: "Liberation", Variant: "Sans", Size: size},
		Color:   colour,
		XAlign:  x,
		YAlign:  text.YBottom,
		Handler: text.Plain{Fonts: fonts.DefaultCache},
	}
}

func bold(s text.Style) text.Style {
	s.Font.Weight = font.WeightBold
	return s
}

// frame returns a plot of which only the axes are set up: no background, as the
// page has its own.
func frame() *plot.Plot {
	p := plot.New()
	p.BackgroundColor = nil
	for _, axis := range []*plot.Axis{&p.X, &p.Y} {
		axis.Padding = 0
		axis.Color, axis.Tick.Color = soft, faint
		axis.Tick.Length = 4
		align, level := axis.Tick.Label.XAlign, axis.Tick.Label.YAlign
		axis.Tick.Label = letters(smallSize, soft, align)
		axis.Tick.Label.YAlign = level
		axis.Label.TextStyle = letters(smallSize, soft, text.XCenter)
		axis.Label.TextStyle.YAlign = text.YBottom
	}
	return p
}

// heading writes what a picture is of on its top, in two lines, and returns what
// is left of the canvas.
func heading(c draw.Canvas, first, second string) draw.Canvas {
	c.FillText(bold(letters(12, ink, text.XLeft)), vg.Point{X: c.Min.X + margin, Y: c.Max.Y - 14}, first)
	c.FillText(letters(smallSize, soft, text.XLeft), vg.Point{X: c.Min.X + margin, Y: c.Max.Y - 28}, second)
	return draw.Crop(c, 0, 0, 0, -36)
}

// stroke draws straight lines from point to point.
func stroke(c draw.Canvas, colour color.Color, width vg.Length, dashes []vg.Length, points ...vg.Point) {
	c.StrokeLines(draw.LineStyle{Color: colour, Width: width, Dashes: dashes}, points)
}

// box is the rectangle of two corners.
func box(x0, y0, x1, y1 vg.Length) []vg.Point {
	return []vg.Point{{X: x0, Y: y0}, {X: x1, Y: y0}, {X: x1, Y: y1}, {X: x0, Y: y1}}
}

// hatch draws slanted lines in a rectangle, and its outline.
func hatch(c draw.Canvas, colour color.Color, x0, y0, x1, y1 vg.Length) {
	const step = 4
	height := y1 - y0
	var path vg.Path
	for x := x0 - height; x < x1; x += step { // each from (x, y0) to (x+height, y1), as far as it is inside
		from, to := max(x, x0), min(x+height, x1)
		if from < to {
			path.Move(vg.Point{X: from, Y: y0 + from - x})
			path.Line(vg.Point{X: to, Y: y0 + to - x})
		}
	}
	c.SetLineStyle(draw.LineStyle{Color: colour, Width: 1})
	c.Stroke(path)
	outline(c, colour, x0, y0, x1, y1)
}

// outline draws a rectangle's border, inside of it.
func outline(c draw.Canvas, colour color.Color, x0, y0, x1, y1 vg.Length) {
	var path vg.Path
	for i, at := range box(x0+.5, y0+.5, max(x0+1, x1-.5), y1-.5) {
		if i == 0 {
			path.Move(at)
		} else {
			path.Line(at)
		}
	}
	path.Close()
	c.SetLineStyle(draw.LineStyle{Color: colour, Width: 1})
	c.Stroke(path)
}
