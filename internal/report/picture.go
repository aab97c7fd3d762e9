package report

import (
	"bytes"
	"fmt"
	"html"
	"image/color"
	"regexp"
	"strings"
	"unicode"

	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

// pictureWidth is that of every picture, in CSS pixels: a phone's, so that the
// text stays legible there.
const pictureWidth = 360

// picture is one that can be drawn. Its lengths are CSS pixels.
type picture struct {
	title  string // what it is of
	desc   string // what is to be seen in it, with its figures
	height vg.Length
	draw   func(c draw.Canvas)
}

// standalone is the picture as a file of its own, which knows its colours.
func (p picture) standalone() string {
	return p.svg("picture", "<style>"+pictureColours+"</style>")
}

// svg is the picture to be put into a page that has the colours. The id keeps it
// apart from the others there.
func (p picture) svg(id, more string) string {
	canvas := vgsvg.New(pictureWidth, p.height)
	p.draw(draw.New(canvas))
	var b bytes.Buffer
	_, _ = canvas.WriteTo(&b) // a buffer takes everything
	_, drawn, _ := strings.Cut(b.String(), "<g ")
	drawn = coordinate.ReplaceAllString(drawn, "$1")
	return fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" class="picture" role="img" aria-labelledby="%[1]s-t %[1]s-d" viewBox="0 0 %[2]d %[3]d" font-family="&quot;Liberation Sans&quot;, Arial, Helvetica, sans-serif"><title id="%[1]s-t">%[4]s</title><desc id="%[1]s-d">%[5]s</desc>%[6]s<g %[7]s`,
		id, pictureWidth, int(p.height), html.EscapeString(printable(p.title, 200)), html.EscapeString(printable(p.desc, 10_000)), more, inks.Replace(drawn))
}

// coordinate is a number whose further decimals nobody can see.
var coordinate = regexp.MustCompile(`(\d+\.\d)\d+`)

// A picture is drawn in stand-ins, which become CSS's own colours: only these
// follow the reader's choice of light or dark.
var (
	ink        = standIn(0) // text and axes
	soft       = standIn(1) // what matters less
	faint      = standIn(2) // grids
	drainShade = standIn(3) // the shade of a phase
	probeShade = standIn(4)
)

const firstStrategyInk = 5

func standIn(n uint8) color.Color { return color.RGBA{n, 0xab, 0xcd, 0xff} }

// inks puts the colours in the place of the stand-ins, and leaves out what the
// picture says once.
var inks = func() *strings.Replacer {
	pairs := []string{
		"font-family:Liberation Sans;font-variant:normal;", "", "font-weight:normal;", "", "font-style:normal;", "",
		"\n\t", " ", "\n", "",
	}
	names := []string{"--ink", "--soft", "--line", "--drain", "--probe"}
	for i := range strategyColours {
		names = append(names, fmt.Sprintf("--s%d", i))
	}
	for i, name := range names {
		pairs = append(pairs, fmt.Sprintf("#%02XABCD", i), "var("+name+")")
	}
	return strings.NewReplacer(pairs...)
}()

// pictureColours is CSS: the colours in both schemes.
var pictureColours = func() string {
	var b strings.Builder
	b.WriteString(":root{color-scheme:light dark;--paper:light-dark(#fff,#16181c);--ink:light-dark(#1b1b1b,#e8e8e8);" +
		"--soft:light-dark(#5a5f66,#a7adb5);--line:light-dark(#d9dce0,#363b42);" +
		"--drain:light-dark(#e9edf2,#262b33);--probe:light-dark(#f6ecd5,#3a3222)")
	for i, of := range strategyColours {
		fmt.Fprintf(&b, ";--s%d:light-dark(%s,%s)", i, of.light, of.dark)
	}
	b.WriteString("}@media print{:root{color-scheme:light}}")
	return b.String()
}()

// printable is the text without what XML can't hold, and not longer than fits.
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
