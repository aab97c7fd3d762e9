package report_test

import (
	"encoding/xml"
	"io"
	"math"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"gotimeout/internal/lab"
	"gotimeout/internal/palette"
	"gotimeout/internal/report"
	"gotimeout/internal/results"
)

// wellFormed checks that each picture by itself is well-formed XML.
func wellFormed(t *testing.T, r *results.Results) {
	t.Helper()
	for _, g := range r.Groups() {
		for _, svg := range []string{report.Lanes(g), report.Latency(g), report.Timelines(g)} {
			d := xml.NewDecoder(strings.NewReader(svg))
			for {
				_, err := d.Token()
				if err == io.EOF {
					break
				}
				if err != nil {
					t.Fatalf("%v in %s", err, svg)
				}
			}
			if strings.Contains(svg, "NaN") || strings.Contains(svg, "Inf") {
				t.Errorf("there are no numbers in %s", svg)
			}
		}
	}
}

// Each picture has a title and a description in words, and fits any width.
func TestPictures(t *testing.T) {
	m := usual()
	m.networks = []string{"none", "3g"}
	r := m.results(t)
	wellFormed(t, r)
	_, root := pageOf(t, r)
	svgs := all(root, "svg")
	if len(svgs) != 3*6 {
		t.Fatalf("%d pictures", len(svgs))
	}
	described := map[string]bool{}
	for _, svg := range svgs {
		title, desc := all(svg, "title"), all(svg, "desc")
		if len(title) != 1 || len(desc) != 1 || attribute(svg, "role") != "img" || attribute(svg, "viewbox")+attribute(svg, "viewBox") == "" || attribute(svg, "width") != "" {
			t.Fatalf("a picture lacks a title, a description or a role: %v", svg.Attr)
		}
		if described[textOf(title[0])] {
			t.Errorf("two pictures have the title %q", textOf(title[0]))
		}
		described[textOf(title[0])] = true
		if !strings.Contains(textOf(desc[0]), "context-cancel: ") {
			t.Errorf("context-cancel is missing in %q", textOf(desc[0]))
		}
	}
	db := r.Groups()[4]
	for svg, want := range map[string]string{
		report.Lanes(db):     "context-cancel: answered 251 ms, ended 251 ms, backend ended 1,003 ms",
		report.Latency(db):   "context-cancel: half within 11.2 ms, 90 % within 251 ms, 99 % within 252 ms, all within 252 ms",
		report.Timelines(db): "context-cancel: goroutines 31 → 64 → 31, connections 0 → 16 → 0",
	} {
		if !strings.Contains(svg, want) {
			t.Errorf("no %q in %.600s", want, svg)
		}
	}
	if svg := report.Lanes(r.Groups()[2]); !strings.Contains(svg, "backend ended unknown") || !strings.Contains(svg, ">?<") {
		t.Errorf("there is no question mark for an unknown figure in %.600s", svg)
	}
}

// The connections of the probe don't count as connections that the load needed.
func TestTimelineWithoutProbe(t *testing.T) {
	row := &results.Row{Key: results.Key{Strategy: "x"}}
	for i, phase := range []string{results.Before, results.Load, results.Drain, results.Probe, results.After} {
		n := []int{1, 5, 7, 40, 2}[i]
		row.Timeline.Samples = append(row.Timeline.Samples, results.Sample{Phase: phase, At: float64(i), Goroutines: n, Connections: &n})
	}
	if want := "x: goroutines 1 → 7 → 2, connections 1 → 7 → 2."; !strings.Contains(report.Timelines(&results.Group{Rows: []*results.Row{row}}), want) {
		t.Errorf("no %q", want)
	}
}

// The pictures use the colours of the page, and a strategy has the same colour in all pictures.
func TestPicturesTakeThePagesColours(t *testing.T) {
	m := usual()
	m.strategies = append(m.strategies, "one", "two", "three")
	r := m.results(t)
	own := regexp.MustCompile(`(?:fill|stroke):(#[0-9A-Fa-f]{6}|black|white)`)
	for _, svg := range []string{report.Lanes(r.Groups()[0]), report.Latency(r.Groups()[0]), report.Timelines(r.Groups()[0])} {
		if found := own.FindString(svg); found != "" {
			t.Errorf("a picture has %s", found)
		}
		for _, colour := range []string{"--s2", "--s7"} { // context-cancel and the eighth strategy
			if !strings.Contains(svg, ":var("+colour+")") {
				t.Errorf("no %s", colour)
			}
		}
	}
}

// All colours have enough contrast with the page, in the light and the dark theme.
func TestContrast(t *testing.T) {
	colours := paletteOf(report.Lanes(usual().results(t).Groups()[0]))
	least := map[string]float64{"ink": 7, "soft": 4.5}
	for i := range palette.Strategies {
		least["s"+strconv.Itoa(i)] = 3
	}
	for name, want := range least {
		for scheme, of := range colours[name] {
			if got := contrast(t, of, colours["paper"][scheme]); got < want {
				t.Errorf("%s %s has a contrast of %.2f, less than %v", name, of, got, want)
			}
		}
		if colours[name][0] == "" {
			t.Errorf("no %s", name)
		}
	}
}

// paletteOf returns the colours of a picture in the light and the dark theme.
func paletteOf(svg string) map[string][2]string {
	colours := map[string][2]string{}
	for _, m := range regexp.MustCompile(`--(\w+):light-dark\((#\w+),(#\w+)\)`).FindAllStringSubmatch(svg, -1) {
		colours[m[1]] = [2]string{m[2], m[3]}
	}
	return colours
}

// Each strategy has a colour of its own, which differs from every other by more than
// neighbouring tones do: 0.06 in OKLab (https://bottosson.github.io/posts/oklab/).
func TestColoursDiffer(t *testing.T) {
	if n := len(lab.Strategies()); n > palette.Strategies {
		t.Errorf("%d strategies have %d colours: add colours to internal/palette", n, palette.Strategies)
	}
	colours := paletteOf(report.Lanes(usual().results(t).Groups()[0]))
	for scheme := range 2 {
		for i := range palette.Strategies {
			for j := range i {
				a, b := colours["s"+strconv.Itoa(i)][scheme], colours["s"+strconv.Itoa(j)][scheme]
				x, y := oklab(t, a), oklab(t, b)
				if d := math.Hypot(math.Hypot(x[0]-y[0], x[1]-y[1]), x[2]-y[2]); d < .06 {
					t.Errorf("--s%d %s and --s%d %s are only %.3f apart", i, a, j, b, d)
				}
			}
		}
	}
}

// oklab returns a colour in a space where equal distances look equally far.
func oklab(t *testing.T, colour string) [3]float64 {
	c := linear(t, colour)
	l := math.Cbrt(.4122214708*c[0] + .5363325363*c[1] + .0514459929*c[2])
	m := math.Cbrt(.2119034982*c[0] + .6806995451*c[1] + .1073969566*c[2])
	s := math.Cbrt(.0883024619*c[0] + .2817188376*c[1] + .6299787005*c[2])
	return [3]float64{
		.2104542553*l + .7936177850*m - .0040720468*s,
		1.9779984951*l - 2.4285922050*m + .4505937099*s,
		.0259040371*l + .7827717662*m - .8086757660*s,
	}
}

// contrast returns the contrast ratio of two colours, by WCAG 2.
func contrast(t *testing.T, a, b string) float64 {
	x, y := luminance(t, a), luminance(t, b)
	return (max(x, y) + .05) / (min(x, y) + .05)
}

func luminance(t *testing.T, colour string) float64 {
	c := linear(t, colour)
	return .2126*c[0] + .7152*c[1] + .0722*c[2]
}

// linear returns the red, green and blue light of a colour of sRGB.
func linear(t *testing.T, colour string) (c [3]float64) {
	hex := strings.TrimPrefix(colour, "#")
	if len(hex) == 3 {
		hex = hex[:1] + hex[:1] + hex[1:2] + hex[1:2] + hex[2:] + hex[2:]
	}
	for i := range c {
		n, err := strconv.ParseUint(hex[2*i:2*i+2], 16, 8)
		if err != nil {
			t.Fatal(err)
		}
		v := float64(n) / 255
		if v <= .04045 {
			v /= 12.92
		} else {
			v = math.Pow((v+.055)/1.055, 2.4)
		}
		c[i] = v
	}
	return c
}

// The pictures of any file are well-formed.
func FuzzPictures(f *testing.F) {
	f.Add("context-cancel", "db", 250.0, 250.4, 1003.0, -1.0)
	f.Add("\x00<&>", "", 0.0, -1.0, 1e300, 5e-324)
	f.Add("x", "y", -1e300, 1e300, 1e300, 1e300)
	f.Fuzz(func(t *testing.T, strategy, op string, timeout, answered, ended, at float64) {
		for _, v := range []float64{timeout, answered, ended, at} {
			if math.IsNaN(v) || math.IsInf(v, 0) {
				t.Skip("no JSON")
			}
		}
		connections := int(int16(at))
		row := &results.Row{Key: results.Key{Strategy: strategy, Op: op, Timeout: timeout}, Delays: []float64{ended}, Answered: []float64{min(answered, ended), max(answered, ended)},
			Slow:     results.Lane{Answered: &answered, Ended: &ended},
			Timeline: results.Timeline{Samples: []results.Sample{{Phase: results.Probe, At: at, Connections: &connections}, {At: ended, Goroutines: -5}}, Answered: at, Drained: ended}}
		wellFormed(t, &results.Results{Rows: []*results.Row{row}})
	})
}
