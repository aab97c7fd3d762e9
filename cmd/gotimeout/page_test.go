//go:build linux

package main

import (
	"context"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"gotimeout/internal/report"
	"gotimeout/internal/results"
)

const over = `document.querySelector('#said').textContent.startsWith('All over')`

// TestPage opens the page in Chromium, on a lab with the default settings.
func TestPage(t *testing.T) {
	slow(t)
	browser := openBrowser(t)
	p := start(t, "--network=none", "--network-driver=proxy")
	for name, test := range map[string]func(t *testing.T, browser context.Context, p program){
		"first": pageBeginsWithRace, "race": pageRaces, "narrow": pageRacesNarrow, "still": pageRacesStill, "a hundred": pageRacesOften, "public": pageIsPublic, "refused": pageRefuses,
		"no script": pageWithoutScript, "stream": pageLosesStream, "network": pageSetsNetwork, "watch": pageWatchesNetwork, "code": pageShowsCode, "beside": pageSetsBeside, "phases": pageRunsPhases,
		"legible": pageIsLegible, "keyboard": pageByKeyboard, "receipts": plainPages, "reports": reportPages,
	} {
		t.Run(name, func(t *testing.T) {
			if name != "first" && name != "race" && name != "phases" && name != "a hundred" { // what these show depends on times, which a dozen other tabs would spoil
				t.Parallel()
			}
			test(t, browser, p)
		})
	}
}

// The first screen shows the race: the lanes of the baseline and of the first four strategies
// fit the window, a recorded race plays in them by itself, and the layout doesn't shift.
func pageBeginsWithRace(t *testing.T, browser context.Context, p program) {
	for name, l := range map[string]look{
		"laptop": {width: 1280, height: 800}, "phone": {width: 390, height: 844}, "screen": {width: 1920, height: 1080},
		"phone-dark": look{width: 390, height: 844}.with("prefers-color-scheme", "dark"), "screen-dark": look{width: 1920, height: 1080}.with("prefers-color-scheme", "dark"),
	} {
		b := openTab(t, browser, l)
		eventually(t, name+": the baseline's lane is seen before it is over", func() bool { // the first look is late on a busy machine
			b.open(p.url)
			b.until(`document.querySelector('[data-name=baseline] .bar').offsetWidth > 20`)
			return !in[bool](b, `document.querySelector('[data-name=baseline] b').classList.contains('known')`)
		})
		b.screenshot("first-"+name+"-mid", false)
		for range 2 { // while the race plays, and after it
			for _, lane := range in[[]struct {
				Name        string
				Top, Bottom float64
			}](b, `[...document.querySelectorAll('#lanes .lane')].slice(0, 5).map(lane => ({ name: lane.dataset.name, top: lane.getBoundingClientRect().top, bottom: lane.getBoundingClientRect().bottom }))`) {
				if lane.Top < 0 || lane.Bottom > float64(l.height) || lane.Bottom-lane.Top < 60 {
					t.Errorf("%s: %+v of a window of %d", name, lane, l.height)
				}
			}
			b.until(`[...document.querySelectorAll('#lanes .left')].every(p => p.textContent)`)
		}
		b.screenshot("first-"+name, false)
		if jumps := in[[]string](b, `jumps`); len(jumps) > 0 {
			t.Errorf("%s: these jumped: %q", name, jumps)
		}
		if said := b.text("#said"); !strings.HasPrefix(said, "A recorded race") || in[bool](b, `performance.getEntriesByType('resource').some(e => e.name.includes('/race'))`) {
			t.Errorf("%s: the page shows a race of the lab and not the recorded one: %q", name, said)
		}
		fields := in[int](b, `new Set([...document.querySelectorAll('#asked .field')].filter(f => f.checkVisibility()).map(f => f.offsetTop)).size`)
		if want := map[bool]int{true: 1, false: 0}[l.width > 500]; fields != want {
			t.Errorf("%s: the form has %d rows, not %d", name, fields, want)
		}
	}
}

// The address of a race starts the race: the lanes grow, and in the end each has its times
// and its sentence. The layout doesn't shift, and the page loads little.
func pageRaces(t *testing.T, browser context.Context, p program) {
	b := openTab(t, browser, wide)
	const baseline = `document.querySelector('[data-name=baseline] .bar')`
	eventually(t, "the lane of the baseline was seen to grow before it was over", func() bool {
		b.open(p.url + "/?op=http&delay=2500ms&timeout=500ms&backend=deaf&race=1")
		b.until(baseline + `.offsetWidth > 50`)
		return !in[bool](b, baseline+`.nextElementSibling.classList.contains('known')`)
	})
	b.until(`document.querySelector('[data-name=context-cancel] .track b').classList.contains('known')`)
	b.until(over)
	b.checkLanes()
	// The HTTP server is deaf: it works on after each answer.
	if n := in[int](b, `[...document.querySelectorAll('#lanes .lane')].filter(lane => lane.querySelector('.backend').offsetWidth > 2 * lane.querySelector('.answered').offsetWidth).length`); n == 0 {
		t.Error("no bar of a backend is longer than that of the answer")
	}
	if jumps := in[[]string](b, `jumps`); len(jumps) > 0 {
		t.Errorf("these jumped: %q", jumps)
	}
	if n := in[float64](b, `performance.getEntries().reduce((sum, e) => sum + (e.transferSize || 0), 0)`); n > 150_000 || n < 10_000 {
		t.Errorf("%g bytes were loaded", n)
	}
	for _, want := range []string{"curl '" + p.url + "/compare?op=http&delay=2.5s&timeout=500ms&ctx=aware&backend=deaf'", "gotimeout compare --url '" + p.url + "' --ops http"} {
		if lines := b.text(".lines"); !strings.Contains(lines, want) {
			t.Errorf("no %q in %q", want, lines)
		}
	}
	if link, address := b.text("#link"), in[string](b, `location.href`); link != address || !strings.HasSuffix(address, "/?op=http&delay=2500ms&timeout=500ms&ctx=aware&backend=deaf&network=none&race=1") {
		t.Errorf("the link is %s, the address %s", link, address)
	}
}

// The pages of receipts and of an unknown path fit their windows. Their bars have colours,
// and their policy allows all that they need.
func plainPages(t *testing.T, browser context.Context, p program) {
	_, cut := p.complete(t, "/goroutine-abandon?op=db&delay=3s&timeout=1s")
	for name, l := range map[string]look{"wide": wide, "narrow": narrow, "dark": narrow.with("prefers-color-scheme", "dark")} {
		b := openTab(t, browser, l)
		for what, path := range map[string]string{"receipt": "/receipts/" + cut.ID, "receipts": "/receipts", "missing": "/receipts/none", "nothing": "/nothing/" + strings.Repeat("x", 80)} {
			b.open(p.url + path)
			if width := in[int64](b, `document.documentElement.scrollWidth`); width > l.width {
				t.Errorf("%s is %d px wide in a window of %d", path, width, l.width)
			}
			if font := in[string](b, `getComputedStyle(document.body).fontFamily`); !strings.Contains(font, "system-ui") {
				t.Errorf("%s has no style: %s", path, font)
			}
			for _, faint := range in[[]string](b, faintTexts) {
				t.Errorf("%s, less than 4.5 to 1: %s", path, faint)
			}
			b.screenshot(what+"-"+name, true)
			if what != "receipt" {
				continue
			}
			for _, want := range []string{"the query", "the result", "The docs explain this code"} {
				if text := b.text("main") + b.text("header"); !strings.Contains(text, want) {
					t.Errorf("no %q in %s", want, text)
				}
			}
			if n := in[int](b, `[...document.querySelectorAll('.lanes rect')].filter(r => r.getBoundingClientRect().width > 20 && getComputedStyle(r).stroke + getComputedStyle(r).fill).length`); n < 3 {
				t.Errorf("%d bars of three", n)
			}
		}
	}
}

// The pages of a comparison and of a recommendation fit their windows, their text has
// contrast, and nothing on them jumps. The verdict is on the first screen.
func reportPages(t *testing.T, browser context.Context, _ program) {
	const recorded = "../../internal/report/testdata/recorded/"
	one, two := recordedFrom(t, recorded+"http.jsonl.gz"), recordedComparison(t)
	conditions, err := parseConditions([]string{"wrong_answers > 0", "ran_on_percent > 50"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	rec, err := results.Recommend(recordedFrom(t, recorded+"recommend-3g.jsonl.gz"), 0.05)
	if err != nil {
		t.Fatal(err)
	}
	pages := map[string]func(io.Writer) error{
		"compare":   func(w io.Writer) error { return report.HTML(w, one, conditions...) },
		"two-ops":   func(w io.Writer) error { return report.HTML(w, two) },
		"recommend": func(w io.Writer) error { return report.RecommendationHTML(w, rec) },
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		write := pages[r.URL.Path[1:]]
		if write == nil { // the browser asks for an icon
			http.NotFound(w, r)
		} else if err := write(w); err != nil {
			t.Error(err)
		}
	}))
	t.Cleanup(server.Close)
	for look, l := range map[string]look{
		"wide": wide, "screen-dark": look{width: 1920, height: 1080}.with("prefers-color-scheme", "dark"), "phone": {width: 390, height: 844}, "narrow-dark": narrow.with("prefers-color-scheme", "dark"),
	} {
		b := openTab(t, browser, l)
		for name := range pages {
			b.open(server.URL + "/" + name)
			if width := in[int64](b, `document.documentElement.scrollWidth`); width > l.width {
				t.Errorf("%s is %d px wide in a window of %d", name, width, l.width)
			}
			for _, faint := range in[[]string](b, faintTexts) {
				t.Errorf("%s %s, less than 4.5 to 1: %s", name, look, faint)
			}
			if jumps := in[[]string](b, `jumps`); len(jumps) > 0 {
				t.Errorf("%s %s: these jumped: %q", name, look, jumps)
			}
			if end := in[float64](b, `document.querySelector('#verdict li, .answer').getBoundingClientRect().bottom`); end > float64(l.height) {
				t.Errorf("%s %s: the verdict ends at %g of a window of %d", name, look, end, l.height)
			}
			b.screenshot(name+"-"+look, true)
		}
	}
}

// checkLanes checks that each strategy of a race has its times, as bars on one scale, as a
// row and as a sentence.
func (b tab) checkLanes() {
	b.Helper()
	lanes := in[[]struct {
		Name, Left string
		Times      []string
		Widths     []float64
		Row        []string
		Told       bool
	}](b, `[...document.querySelectorAll('#lanes .lane:not(.unsuited)')].map(lane => ({
		name: lane.dataset.name, left: lane.querySelector('.left').textContent,
		times: [...lane.querySelectorAll('b.known')].map(b => b.textContent),
		widths: [...lane.querySelectorAll('.bar')].map(bar => parseFloat(bar.style.width) / 100),
		row: [...document.querySelectorAll('#table tr[data-name=' + lane.dataset.name + '] td')].map(td => td.textContent),
		told: [...document.querySelectorAll('#heard p')].some(p => p.textContent.startsWith(lane.dataset.name + ': ' + lane.querySelector('.left').textContent)),
	}))`)
	if len(lanes) < 6 {
		b.Fatalf("%d lanes", len(lanes))
	}
	perMS := 0.0 // the part of the plot's width that a millisecond has: the baseline's answer shows it
	for _, lane := range lanes {
		if len(lane.Left) < 10 || !lane.Told || len(lane.Times) != 3 || len(lane.Row) != 10 || lane.Row[9] == "–" {
			b.Errorf("%+v", lane)
			continue
		}
		for i, text := range lane.Times {
			ms, err := strconv.ParseFloat(strings.ReplaceAll(text, ",", ""), 64)
			if err == nil && perMS == 0 {
				perMS = lane.Widths[i] / ms
			}
			known := err == nil || i > 0 && text == "?" // a backend may have seen nothing of the call
			if !known || perMS == 0 || (err == nil) != (lane.Widths[i] > 0) || math.Abs(lane.Widths[i]-perMS*ms) > .02 {
				b.Errorf("%s: the bars of %q ms are %v wide", lane.Name, lane.Times, lane.Widths)
			}
		}
	}
}

func pageRacesNarrow(t *testing.T, browser context.Context, p program) {
	b := openTab(t, browser, narrow.with("prefers-color-scheme", "dark"))
	b.open(p.url + "/?op=http&delay=600ms&timeout=200ms&backend=deaf&race=1")
	b.until(over)
	b.checkLanes()
	if jumps := in[[]string](b, `jumps`); len(jumps) > 0 {
		t.Errorf("these jumped: %q", jumps)
	}
	// The strategies that the lab is about are in view, and the others folded by their families.
	const visible = `[...document.querySelectorAll('#lanes .lane')].filter(lane => lane.checkVisibility()).map(lane => lane.dataset.name)`
	names := strategyNames()
	if got := in[[]string](b, visible); !slices.Equal(got, names[:5]) {
		t.Errorf("in view are %q, want the first five of %q", got, names)
	}
	in[any](b, `document.querySelectorAll('#lanes .family summary').forEach(summary => summary.click()), 0`)
	if got := in[[]string](b, visible); !slices.Equal(got, names) {
		t.Errorf("unfolded are %q, want %q", got, names)
	}
	if width := in[float64](b, `document.documentElement.scrollWidth`); width > 360 {
		t.Errorf("the page is %g wide", width)
	}
}

// A visitor that prefers reduced motion sees only the states, without frames between them,
// and the end of the recorded race.
func pageRacesStill(t *testing.T, browser context.Context, p program) {
	b := openTab(t, browser, wide.with("prefers-reduced-motion", "reduce"))
	b.open(p.url)
	b.until(`[...document.querySelectorAll('#lanes .left')].every(p => p.textContent) && document.querySelectorAll('#lanes b.known').length === 3 * document.querySelectorAll('#lanes .lane').length`)
	if n := in[int](b, `frames_`); n > 0 {
		t.Errorf("%d frames of the recorded race were drawn", n)
	}
	b.open(p.url + "/?op=http&delay=600ms&timeout=200ms&backend=deaf&race=1")
	b.until(over)
	b.checkLanes()
	if n := in[int](b, `frames_`); n > 0 {
		t.Errorf("%d frames were drawn", n)
	}
}

func pageRacesOften(t *testing.T, browser context.Context, _ program) {
	p := start(t) // a lab of its own, because the other tabs would show its 600 receipts too
	b := openTab(t, browser, wide.with("prefers-color-scheme", "dark"))
	b.open(p.url + "/?op=http&delay=40ms&timeout=20ms")
	b.click("#again")
	b.until(`document.querySelectorAll('#lanes circle').length > 60`)
	// The click may make the lanes grow, which a page tells of after the next frame.
	in[any](b, `new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(() => { jumps = []; done(0) }, 50))))`)
	b.until(over)
	for _, lane := range in[[]struct {
		Name, Left, Zoom       string
		Dots, Backends, Marked int
	}](b, `[...document.querySelectorAll('#lanes .lane:not(.unsuited)')].map(lane => ({
		name: lane.dataset.name, left: lane.querySelector('.left').textContent, zoom: lane.querySelector('.zoom').textContent,
		dots: lane.querySelectorAll('circle:not(.backend)').length, backends: lane.querySelectorAll('circle.backend').length,
		marked: lane.querySelectorAll('.zoom line').length,
	}))`) {
		if lane.Dots != 100 || lane.Name == "baseline" && lane.Backends != 100 || !regexp.MustCompile(`^of 100 runs \d+ (completed|accepted|timed out).*answered p50 [\d.,]+, p99 [\d.,]+, max [\d.,]+ ms`).MatchString(lane.Left) {
			t.Errorf("%+v", lane)
		}
		// The baseline has no timeout to overshoot. Fewer than a hundred runs have no p99.
		late, zoomed := 0, strings.Contains(lane.Zoom, "p50")
		_, _ = fmt.Sscanf(lane.Zoom, "overshoot of %d", &late)
		if want := map[bool]int{true: 3, false: 2}[late == 100]; zoomed == (lane.Name == "baseline") || zoomed && lane.Marked != want {
			t.Errorf("%+v", lane)
		}
	}
	if jumps := in[[]string](b, `jumps`); len(jumps) > 0 {
		t.Errorf("these jumped: %q", jumps)
	}
	b.checkLooks("a-hundred")
}

// A public lab runs each strategy ten times, and ten runs are too few for a p99.
func pageIsPublic(t *testing.T, browser context.Context, _ program) {
	p := start(t, "--public")
	b := openTab(t, browser, wide)
	b.open(p.url + "/?op=http&delay=40ms&timeout=20ms")
	b.click("#again")
	b.until(over)
	b.checkLooks("public")
	for _, left := range in[[]string](b, `[...document.querySelectorAll('#lanes .lane:not(.unsuited) .left')].map(p => p.textContent)`) {
		if !strings.HasPrefix(left, "of 10 runs ") || !strings.Contains(left, "max ") || strings.Contains(left, "p99") {
			t.Errorf("%q", left)
		}
	}
	if lines := b.text(".lines"); strings.Contains(lines, "--url") || !strings.Contains(lines, "go run ./cmd/gotimeout\n") {
		t.Errorf("the lines are %q", lines)
	}
}

// The page shows the sentence of a refusal, and the next race runs as usual.
func pageRefuses(t *testing.T, browser context.Context, p program) {
	b := openTab(t, browser, wide)
	b.open(p.url + "/?timeout=99h&network=nowhere&race=1")
	b.click("#asked .main") // a link alone doesn't change the network
	b.until(`document.querySelector('#said.wrong')?.textContent.includes('there is no network preset')`)
	in[any](b, `document.querySelector('[name=network]').value = 'none'`)
	b.click("#asked .main")
	b.until(`document.querySelector('#said.wrong')?.textContent.includes("over this lab's cap")`)
	in[any](b, `for (const [name, value] of [['delay', '20ms'], ['timeout', '10ms']]) document.querySelector('[name=' + name + ']').value = value`)
	b.click("#asked .main")
	b.until(over)
}
