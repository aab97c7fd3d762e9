package report

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"strings"
	"sync"

	"gotimeout/internal/palette"
	"gotimeout/internal/results"
)

// headText is the head and the style of the pages of one subject.
//
//go:embed head.html
var headText string

//go:embed recommend.html
var recommendText string

var recommendTemplate = sync.OnceValue(func() *template.Template {
	return template.Must(template.New("recommend").Funcs(template.FuncMap{
		"millis": millis, "percent": inPercent, "digits": digits, "interval": intervalOf, "orUnknown": orUnknown,
		"count": func(n int) string { return digits(float64(n)) },
	}).Parse(headText + recommendText))
})

// recommendPage is the data for the template.
type recommendPage struct {
	*results.Recommendation
	Title     string
	Colours   template.CSS
	Sentences []string
	Verdicts  []coloured
	Dials     string
	Pictures  []template.HTML
	Words     string
	Made      string
}

// coloured is a verdict with the number of the strategy's colour in the palette.
type coloured struct {
	Strategy, Text string
	Colour         int
}

// Colour returns the number of the strategy's colour in the palette.
func (p *recommendPage) Colour(strategy string) int {
	return lookOf(strategy, p.Of.Rows).place % palette.Strategies
}

// RecommendationHTML writes a recommendation as a page that loads nothing, with the
// sentences and figures of Recommendation, and the curves as pictures. Its error is that of
// the writer.
func RecommendationHTML(w io.Writer, r *results.Recommendation) error {
	p := recommendPage{
		Recommendation: r, Title: "A timeout for " + where(r.Sample.Key), Colours: palette.Page,
		Sentences: recommendSentences(r), Dials: dialSentence(r), Words: sweepWords, Made: origin(r.Of),
	}
	for _, v := range r.Verdict {
		p.Verdicts = append(p.Verdicts, coloured{v.At.Strategy, verdictOf(r, v), p.Colour(v.At.Strategy)})
	}
	if len(r.Sweep) > 0 {
		p.Pictures = []template.HTML{sharesOf(r).svg("shares"), wasteOf(r).svg("waste")}
	}
	var b bytes.Buffer // so that no part of a failed page is written
	if err := recommendTemplate().Execute(&b, &p); err != nil {
		return err
	}
	_, err := w.Write(b.Bytes())
	return err
}

// sharesOf draws the false timeouts of each strategy by timeout, with those of the sample,
// the target and the interval.
func sharesOf(r *results.Recommendation) *picture {
	s := sweepPicture{r: r, least: leastDrawn(r), of: func(s results.Swept) *float64 { return &s.Share }}
	return s.draw("False timeouts, on "+where(r.Sample.Key), "share of false timeouts, by timeout", fmt.Sprintf(
		"A line a strategy: across the timeout, upwards the share of calls that it cut, on a logarithmic axis, against a line at the target of %s. The recommended timeout, %s, is marked, and its interval shaded.",
		inPercent(r.Target), millis(r.Timeout)), inPercent)
}

// wasteOf draws the waste of each strategy by timeout.
func wasteOf(r *results.Recommendation) *picture {
	s := sweepPicture{r: r, of: func(s results.Swept) *float64 { return s.Waste }}
	return s.draw("Waste, on "+where(r.Sample.Key), "waste: backend seconds for nobody per 1,000 requests, by timeout",
		"A line a strategy: across the timeout, upwards the seconds that backends worked for nobody, per 1,000 requests.", digits)
}

// leastDrawn is the bottom of the logarithmic axis, at which a share of 0 is drawn.
func leastDrawn(r *results.Recommendation) float64 {
	least := r.Target
	for _, s := range r.Sweep {
		if s.Share > 0 {
			least = min(least, s.Share)
		}
	}
	return least / 3
}

// sweepPicture draws a figure of a sweep, by timeout.
type sweepPicture struct {
	r     *results.Recommendation
	least float64 // the low end of a logarithmic axis; 0 is a linear axis
	of    func(results.Swept) *float64
}

func (s sweepPicture) draw(title, second, desc string, text func(float64) string) *picture {
	var rows []*results.Row
	names := sweptStrategies(s.r)
	if s.least > 0 {
		names = append([]string{results.SampleName()}, names...)
	}
	for _, name := range names {
		rows = append(rows, &results.Row{Key: results.Key{Strategy: name}, Place: lookOf(name, s.r.Of.Rows).place})
	}
	p := newPicture(title, desc+" "+s.describe(text), 36+plotHeight+(len(rows)+1)/2*legendStep+8, where(s.r.Sample.Key), second)
	bottom := float64(36 + plotHeight - 32)
	x := scale{from: plotLeft, to: plotRight}
	x.low, x.high = s.timeouts()
	y := scale{low: 0, high: s.highest(), from: bottom, to: plotTop}
	ticks := roundTicks(0, y.high, 4)
	if s.least > 0 {
		y.low, y.high, y.log = s.least, 1, true
		ticks = append([]tick{{y.low, "0"}}, decadeTicks(s.least*1.5, 1, inPercent)...)
	}
	p.across(x, bottom, plotTop, roundTicks(x.low, x.high, 5), "timeout, ms")
	if s.least > 0 {
		p.fill(probeShade, x.at(s.r.Low), plotTop, max(x.at(s.high()), x.at(s.r.Low)+1), bottom)
	}
	p.upwards(y, plotLeft, plotRight, ticks)
	if s.least > 0 {
		p.target(s, x, y)
	}
	for i, name := range sweptStrategies(s.r) {
		p.swept(s, name, lookAt(rows[len(rows)-len(sweptStrategies(s.r))+i].Place), x, y)
	}
	if s.least > 0 { // drawn last, so that no line crosses it
		p.text(plotRight-2, y.at(s.r.Target)+12, letters{ink, smallSize, true, "end"}, "target "+inPercent(s.r.Target))
	}
	p.legend(36+plotHeight, rows)
	return p
}

// describe returns a text with each figure.
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

// timeouts returns the range of the timeouts, with a margin.
func (s sweepPicture) timeouts() (low, high float64) {
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

// high returns the upper end of the interval, or the timeout if there is none.
func (s sweepPicture) high() float64 {
	if s.r.High != nil {
		return *s.r.High
	}
	return s.r.Timeout
}

// swept draws the line of a strategy.
func (p *picture) swept(s sweepPicture, name string, l look, x, y scale) {
	var points []point
	for _, at := range s.r.Sweep {
		if v := s.of(at); at.Strategy == name && v != nil {
			points = append(points, point{x.at(at.Timeout), y.at(*v)})
		}
	}
	if len(points) > 1 {
		p.line(l.colour, 1.7, l.dashes, points...)
	}
	for _, at := range points {
		p.mark(l, at)
	}
}

// target draws the lines of the target and of the recommended timeout, and the share of the
// sample that each timeout would cut.
func (p *picture) target(s sweepPicture, x, y scale) {
	p.line(ink, .8, "", point{x.at(s.r.Timeout), plotTop}, point{x.at(s.r.Timeout), y.from})
	at := y.at(s.r.Target)
	p.line(ink, 1.2, "", point{plotLeft, at}, point{plotRight, at})
	var points []point
	for i := range 181 {
		timeout := x.low + (x.high-x.low)*float64(i)/180
		points = append(points, point{x.at(timeout), y.at(results.ShareOver(s.r.Sample.Took, timeout))})
	}
	l := lookOf(results.SampleName(), s.r.Of.Rows)
	p.line(l.colour, 1.2, l.dashes, points...)
}
