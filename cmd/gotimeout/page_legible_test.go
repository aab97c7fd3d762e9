//go:build linux

package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/accessibility"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
)

// The page is legible at each size in each state of a race: the recorded race, a race that
// runs, one that is over, and two side by side with all details open. Each control has a name.
func pageIsLegible(t *testing.T, browser context.Context, p program) {
	b := openTab(t, browser, wide)
	b.open(p.url)
	b.until(`[...document.querySelectorAll('#lanes .left')].every(p => p.textContent)`)
	b.checkLooks("idle")
	eventually(t, "the recorded race was stopped halfway", func() bool {
		b.open(p.url)
		return in[bool](b, `new Promise(done => {
			const known = name => document.querySelector('[data-name=' + name + '] .track b').classList.contains('known')
			const look = () => {
				if (known('baseline')) return done(false)
				if (!known('context-cancel')) return setTimeout(look, 10)
				window.requestAnimationFrame = () => 0
				done(true)
			}
			look()
		})`)
	})
	b.checkLooks("racing")
	b.open(p.url + "/?op=http&delay=300ms&timeout=100ms&backend=deaf&race=1")
	b.until(over)
	b.checkLooks("after")
	b.click("#keep")
	in[any](b, `document.querySelector('[name=ctx]').value = 'deaf'`)
	b.click("#asked .main")
	b.until(over)
	b.checkLooks("beside")
	in[any](b, `for (const d of document.querySelectorAll('details')) d.open = true`)
	b.checkLooks("open")
	b.checkNames()
}

// checkNames checks that each control of the page has a name.
func (b tab) checkNames() {
	b.Helper()
	tree, err := chromedp.Call(b.ctx, accessibility.GetFullAXTree, accessibility.GetFullAXTreeParams{})
	if err != nil {
		b.Fatal(err)
	}
	controls := 0
	for _, n := range tree.Nodes {
		if n.Ignored || n.Role == nil || !slices.Contains([]string{`"button"`, `"textbox"`, `"combobox"`, `"slider"`, `"link"`, `"DisclosureTriangle"`, `"image"`, `"region"`}, string(n.Role.Value)) {
			continue
		}
		controls++
		if n.Name == nil || string(n.Name.Value) == `""` {
			b.Errorf("a %s has no name: node %d", n.Role.Value, n.BackendDOMNodeID)
		}
	}
	if controls < 80 {
		b.Errorf("only %d controls were seen", controls)
	}
}

// checkLooks checks the page as it is in each width, light and dark: it fits the window, and
// all text has enough contrast with its background.
func (b tab) checkLooks(state string) {
	b.Helper()
	for _, l := range []look{{width: 360, height: 740}, {width: 390, height: 844}, {width: 1280, height: 800}, {width: 1920, height: 1080}} {
		for _, scheme := range []string{"light", "dark"} {
			b.become(l.with("prefers-color-scheme", scheme))
			name := fmt.Sprintf("%s-%d-%s", state, l.width, scheme)
			if width := in[int64](b, `document.documentElement.scrollWidth`); width > l.width {
				b.Errorf("%s: the page is %d px wide", name, width)
			}
			for _, faint := range in[[]string](b, faintTexts) {
				b.Errorf("%s, less than 4.5 to 1: %s", name, faint)
			}
			b.screenshot(name, true)
		}
	}
}

// faintTexts lists the texts with less contrast to their background than 4.5 to 1, the
// limit of WCAG.
const faintTexts = `(() => {
	const parse = c => { // rgb(r, g, b), or color(srgb r g b / a), whose parts are of 1
		const [r, g, b, a = 1] = c.match(/[\d.]+/g).map(Number), of = c.startsWith('color(srgb ') ? 255 : 1
		return { r: r * of, g: g * of, b: b * of, a }
	}
	const mix = (top, under) => ({ r: top.r * top.a + under.r * (1 - top.a), g: top.g * top.a + under.g * (1 - top.a), b: top.b * top.a + under.b * (1 - top.a), a: 1 })
	const behind = e => {
		if (!e) return parse(getComputedStyle(document.body).backgroundColor)
		const own = parse(getComputedStyle(e).backgroundColor)
		return own.a === 1 ? own : mix(own, behind(e.parentElement))
	}
	const light = c => { const [r, g, b] = [c.r, c.g, c.b].map(v => (v /= 255) <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4); return .2126 * r + .7152 * g + .0722 * b }
	const found = []
	for (const e of document.querySelectorAll('body *')) {
		if (!e.checkVisibility({ visibilityProperty: true }) || e.closest('svg, script') || ![...e.childNodes].some(n => n.nodeType === 3 && n.data.trim())) continue
		const under = behind(e), over = mix(parse(getComputedStyle(e).color), under), [a, b] = [light(under), light(over)]
		const contrast = (Math.max(a, b) + .05) / (Math.min(a, b) + .05)
		if (contrast < 4.5) found.push(contrast.toFixed(2) + ' ' + e.outerHTML.slice(0, 120))
	}
	return found
})()`

// BenchmarkPage measures over loopback, from the start of the navigation, when the page is
// complete (its load event is over) and when the first lane of the race is on the screen; in
// turns with a text of as many bytes. The browser runs already. The bar is 100 complete-ms.
func BenchmarkPage(b *testing.B) {
	browser := openBrowser(b)
	p := start(b)
	t := openTab(b, browser, wide)
	t.must(chromedp.Call(t.ctx, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{Source: draws}))
	t.open(p.url) // the first page of a browser starts a process of it
	size := in[int](t, `performance.getEntriesByType('navigation')[0].decodedBodySize`)
	text := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = io.WriteString(w, "<!DOCTYPE html><title>text</title><p class=text>"+strings.Repeat("text ", size/5))
	}))
	defer text.Close()
	sums, n := map[string]float64{}, 0.0
	for b.Loop() {
		for of, url := range map[string]string{"": p.url, "text-": text.URL} {
			t.open(url)
			sums[of+"drawn-ms"] += in[float64](t, `drawn`)
			sums[of+"complete-ms"] += in[float64](t, `performance.getEntriesByType('navigation')[0].loadEventEnd`)
		}
		n++
	}
	for unit, sum := range sums {
		b.ReportMetric(sum/n, unit)
	}
}

// draws has the milliseconds until a page drew its first lane, or its text: the message comes
// right after the frame in whose callback that was seen.
const draws = `
window.drawn = new Promise(done => {
	const look = () => {
		if (!(document.querySelector('[data-name=baseline] .bar, .text')?.offsetWidth > 0)) return requestAnimationFrame(look)
		const frame = new MessageChannel()
		frame.port1.onmessage = () => done(performance.now())
		frame.port2.postMessage(0)
	}
	look()
})`
