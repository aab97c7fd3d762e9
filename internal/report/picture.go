package report

import (
	_ "embed"
	"fmt"
	"html/template"
	"math"
	"strconv"
	"strings"
	"sync"
	"unicode"

	"gotimeout/internal/palette"
	"gotimeout/internal/results"
)

// pictureWidth is the width of each picture in CSS pixels. It is the width of a phone, so
// that the text stays legible there. picture.html has the same width.
const pictureWidth = 360

//go:embed picture.html
var pictureText string

var pictureTemplate = sync.OnceValue(func() *template.Template { return template.Must(template.New("picture").Parse(pictureText)) })

// picture is a drawing that grows from its top downwards. Its lengths are CSS
// pixels from the upper left corner.
type picture struct {
	ID      string // tells the picture from the others of a page
	Title   string // the subject
	Desc    string // a description with the figures
	Height  int
	Colours template.CSS // for a picture in a file of its own
	Shapes  []shape
}

// shape is a path, or text if it has no path.
type shape struct {
	Path               string
	Style              template.CSS
	X, Y, Anchor, Text string
}

// point is a place in a picture.
type point struct{ x, y float64 }

// newPicture returns a picture with its heading of two lines.
func newPicture(title, desc string, height int, first, second string) *picture {
	p := &picture{Title: printable(title, 200), Desc: printable(desc, 10_000), Height: height}
	p.text(1, 11, letters{ink, 12, true, ""}, printable(first, 48))
	p.text(1, 25, letters{soft, smallSize, false, ""}, second)
	return p
}

// standalone returns the picture for a file of its own, with the colours.
func (p *picture) standalone() string {
	p.Colours = palette.Picture
	return string(p.svg("picture"))
}

// svg returns the picture for a page that has the colours.
func (p *picture) svg(id string) template.HTML {
	p.ID = id
	var b strings.Builder
	if err := pictureTemplate().Execute(&b, p); err != nil {
		panic(err) // only for a template with an unknown field, which any test finds
	}
	return template.HTML(strings.TrimSpace(b.String()))
}

// The sizes of text. A narrow phone shrinks the picture to 0.9 of itself.
const (
	textSize  = 11
	smallSize = 10
)

// letters is the style of text. The anchor is "", "middle" or "end".
type letters struct {
	colour string
	size   float64
	bold   bool
	anchor string
}

// text writes text whose baseline is at y.
func (p *picture) text(x, y float64, of letters, text string) {
	style := fmt.Sprintf("fill:var(%s);font-size:%gpx", of.colour, of.size)
	if of.bold {
		style += ";font-weight:bold;paint-order:stroke;stroke:var(--paper);stroke-width:3px" // so that no line crosses the letters
	}
	p.Shapes = append(p.Shapes, shape{Style: template.CSS(style), X: pixels(x), Y: pixels(y), Anchor: of.anchor, Text: text})
}

// width estimates the width of text. The real width depends on the reader's font.
func (of letters) width(text string) (w float64) {
	for _, r := range text {
		switch {
		case strings.ContainsRune("ijl.,:;'|!ftI -()", r):
			w += .31
		case strings.ContainsRune("mwMW", r), unicode.Is(unicode.Han, r):
			w += .88
		case unicode.IsUpper(r):
			w += .7
		default:
			w += .56
		}
	}
	if of.bold {
		w *= 1.06
	}
	return w * of.size
}

// line draws straight lines from point to point.
func (p *picture) line(colour string, width float64, dashes string, points ...point) {
	if len(points) > 0 {
		p.stroke(colour, width, dashes, straight(points, false))
	}
}

func (p *picture) stroke(colour string, width float64, dashes, path string) {
	style := fmt.Sprintf("fill:none;stroke:var(%s);stroke-width:%g", colour, width)
	if dashes != "" {
		style += ";stroke-dasharray:" + dashes
	}
	p.path(style, path)
}

// fill fills the rectangle between two corners, unless it is empty.
func (p *picture) fill(colour string, x0, y0, x1, y1 float64) {
	if x0 < x1 && y0 < y1 {
		p.path("fill:var("+colour+")", straight(corners(x0, y0, x1, y1), true))
	}
}

// outline draws the border of a rectangle, inside of it.
func (p *picture) outline(colour string, x0, y0, x1, y1 float64) {
	p.stroke(colour, 1, "", straight(corners(x0+.5, y0+.5, max(x0+1, x1-.5), y1-.5), true))
}

// hatch draws slanted lines in a rectangle, and its outline.
func (p *picture) hatch(colour string, x0, y0, x1, y1 float64) {
	const step = 4
	height := y1 - y0
	var path strings.Builder
	for x := x0 - height; x < x1; x += step { // each line from (x, y1) up to (x+height, y0), cut to the rectangle
		if from, to := max(x, x0), min(x+height, x1); from < to {
			path.WriteString(straight([]point{{from, y1 - (from - x)}, {to, y1 - (to - x)}}, false))
		}
	}
	if path.Len() > 0 {
		p.stroke(colour, 1, "", path.String())
	}
	p.outline(colour, x0, y0, x1, y1)
}

func (p *picture) path(style, path string) {
	p.Shapes = append(p.Shapes, shape{Path: path, Style: template.CSS(style)})
}

func corners(x0, y0, x1, y1 float64) []point { return []point{{x0, y0}, {x1, y0}, {x1, y1}, {x0, y1}} }

// straight returns the path through points.
func straight(points []point, closed bool) string {
	var b strings.Builder
	for i, at := range points {
		b.WriteByte("ML"[min(i, 1)])
		b.WriteString(pixels(at.x) + " " + pixels(at.y))
	}
	if closed {
		b.WriteByte('Z')
	}
	return b.String()
}

// pixels writes a length, exact to a tenth of a pixel, which is finer than a reader can see.
func pixels(v float64) string { return strconv.FormatFloat(math.Round(v*10)/10, 'f', -1, 64) }

// scale is an axis: it maps low and high to from and to.
type scale struct {
	low, high, from, to float64
	log                 bool
}

// at returns the place of a value. A value beyond the scale is at the end of the axis.
func (s scale) at(v float64) float64 {
	low, high := s.low, s.high
	v = min(max(v, low), high)
	if s.log {
		v, low, high = math.Log10(v), math.Log10(low), math.Log10(high)
	}
	if high == low {
		return s.from
	}
	return s.from + (v-low)/(high-low)*(s.to-s.from)
}

// tick is a mark on an axis; a tick without a label is small.
type tick struct {
	at    float64
	label string
}

// roundTicks returns about n ticks at round values.
func roundTicks(low, high float64, n float64) (ticks []tick) {
	step := math.Pow(10, math.Ceil(math.Log10((high-low)/n)))
	for _, finer := range []float64{5, 2} {
		if (high-low)/(step/finer) <= n {
			step /= finer
			break
		}
	}
	for i := math.Ceil(low / step); i*step <= high && len(ticks) < 50; i++ {
		ticks = append(ticks, tick{i * step, digits(math.Round(i*step*1e6)/1e6 + 0)}) // 0 is not -0
	}
	return ticks
}

// decadeTicks returns the ticks of a logarithmic axis, with a label at each power of ten.
func decadeTicks(low, high float64, label func(float64) string) (ticks []tick) {
	for e := math.Floor(math.Log10(low) + 1e-9); e <= math.Ceil(math.Log10(high)); e++ {
		for i := 1.0; i < 10; i++ {
			if at := i * math.Pow(10, e); at >= low*0.999 && at <= high {
				ticks = append(ticks, tick{at, map[bool]string{true: label(at)}[i == 1]})
			}
		}
	}
	return ticks
}

// across draws a horizontal axis at y, and its grid up to top; if top is y there is no
// grid.
func (p *picture) across(s scale, y, top float64, ticks []tick, label string) {
	for _, t := range ticks {
		x := s.at(t.at)
		if top < y {
			p.line(faint, .7, "", point{x, top}, point{x, y})
		}
		p.line(faint, .5, "", point{x, y}, point{x, y + 4})
		p.text(x, y+14, letters{soft, smallSize, false, "middle"}, t.label)
	}
	p.line(soft, .5, "", point{s.from, y}, point{s.to, y})
	p.text((s.from+s.to)/2, y+26, letters{soft, smallSize, false, "middle"}, label)
}

// upwards draws a vertical axis at x, and its grid to the right.
func (p *picture) upwards(s scale, x, right float64, ticks []tick) {
	for _, t := range ticks {
		y := s.at(t.at)
		if t.label == "" {
			p.line(faint, .5, "", point{x - 3, y}, point{x, y})
			continue
		}
		p.line(faint, .7, "", point{x - 4, y}, point{right, y})
		p.text(x-6, y+3.5, letters{soft, smallSize, false, "end"}, t.label)
	}
	p.line(soft, .5, "", point{x, s.from}, point{x, s.to})
}

// The colours are variables of CSS, which follow the reader's choice of light or dark.
const (
	ink        = "--ink"   // text and axes
	soft       = "--soft"  // less important text
	faint      = "--line"  // grids
	drainShade = "--drain" // the shade of a phase
	probeShade = "--probe"
)

// look is the colour and the marker of a strategy. They depend on its place among the lab's
// strategies, so they are the same in each picture, page and comparison.
type look struct {
	place          int
	colour, dashes string
}

func lookAt(place int) look {
	dashes := []string{"", "7 2", "2 2", "7 2 2 2", "4 3", "10 3", "1 2"}
	return look{place, fmt.Sprintf("--s%d", place%palette.Strategies), dashes[place%len(dashes)]}
}

// lookOf returns the look of the named strategy.
func lookOf(name string, rows []*results.Row) look {
	for _, r := range rows {
		if r.Strategy == name {
			return lookAt(r.Place)
		}
	}
	return lookAt(0)
}

// mark draws the look's marker at a point.
func (p *picture) mark(l look, at point) {
	const r = 2.6
	around := func(corners ...point) string {
		for i := range corners {
			corners[i] = point{at.x + r*corners[i].x, at.y + r*corners[i].y}
		}
		return straight(corners, true)
	}
	cross := func(a, b point) string {
		return around(a, point{-a.x, -a.y}) + around(b, point{-b.x, -b.y})
	}
	circle := fmt.Sprintf("M%s %sa%g %g 0 1 0 %g 0a%g %g 0 1 0 %g 0Z", pixels(at.x-r), pixels(at.y), r, r, 2*r, r, r, -2*r)
	square := around(point{-.9, -.9}, point{.9, -.9}, point{.9, .9}, point{-.9, .9})
	switch filled := "fill:var(" + l.colour + ")"; l.place % 8 {
	case 0:
		p.stroke(l.colour, 1, "", cross(point{-.8, -.8}, point{-.8, .8}))
	case 1:
		p.path(filled, circle)
	case 2:
		p.stroke(l.colour, 1, "", square)
	case 3:
		p.stroke(l.colour, 1, "", around(point{0, -1.1}, point{1, .8}, point{-1, .8}))
	case 4:
		p.stroke(l.colour, 1, "", circle)
	case 5:
		p.path(filled, square)
	case 6:
		p.path(filled, around(point{0, -1.2}, point{1.1, .9}, point{-1.1, .9}))
	default:
		p.stroke(l.colour, 1, "", cross(point{-1, 0}, point{0, -1}))
	}
}

// key explains a line, or a shade.
type key struct {
	name, colour, dashes string
	shade                bool
}

// keys explains lines and shades in a row, whose middle is at y.
func (p *picture) keys(x, y float64, all ...key) {
	of := letters{ink, smallSize, false, ""}
	for _, k := range all {
		if k.shade {
			p.fill(k.colour, x, y-5, x+18, y+5)
		} else {
			p.line(k.colour, 1.5, k.dashes, point{x, y}, point{x + 18, y})
		}
		p.text(x+22, y+3.5, of, k.name)
		x += 22 + of.width(k.name) + 12
	}
}

const legendStep = 15

// legend shows the line of each strategy, in two columns from y downwards.
func (p *picture) legend(y float64, rows []*results.Row) {
	for i, r := range rows {
		l := lookAt(r.Place)
		x, middle := 1+float64(i%2)*(pictureWidth-2)/2, y+float64(i/2)*legendStep+8
		p.line(l.colour, 1.7, l.dashes, point{x, middle}, point{x + 30, middle})
		p.mark(l, point{x + 15, middle})
		p.text(x+36, middle+3.5, letters{ink, smallSize, false, ""}, printable(r.Strategy, 24))
	}
}

// printable returns the text without the characters that XML can't hold, cut to the longest length.
func printable(s string, longest int) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '\uFFFD'
	}, s)
	if runes := []rune(s); len(runes) > longest {
		return string(runes[:longest-1]) + "…"
	}
	return s
}
