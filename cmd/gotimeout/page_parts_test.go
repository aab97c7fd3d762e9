//go:build linux

package main

import (
	"context"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"gotimeout/internal/lab"
)

// Without JavaScript the form leads to a text page, and the other parts of the page are readable.
func pageWithoutScript(t *testing.T, browser context.Context, p program) {
	bare := wide
	bare.noScript = true
	b := openTab(t, browser, bare)
	b.open(p.url + "/?delay=30ms&timeout=10ms")
	b.screenshot("no-script", true)
	text := b.text("body")
	for _, want := range []string{"Without JavaScript", "goroutine-abandon", "returns at the timeout without it", "goroutines", "TIME-WAIT", "Nobody answers a SYN", "proxy"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in the page", want)
		}
	}
	if buttons := in[int](b, `[...document.querySelectorAll('button, svg, input[type=range]')].filter(e => e.checkVisibility()).length`); buttons != 1 {
		t.Errorf("%d visible buttons, want 1", buttons)
	}
	b.click("#asked .main")
	b.until(`document.body?.innerText.includes('times in ms')`)
}

// The page shows that its stream is lost, and goes on when the lab is back.
func pageLosesStream(t *testing.T, browser context.Context, p program) {
	proxy := openFront(t, p.url)
	b := openTab(t, browser, wide)
	b.open(proxy.url)
	live := `document.querySelector('#stream').classList.contains('live')`
	b.until(live)
	if may := in[bool](b, `!!document.querySelector('#change')`); may || !strings.Contains(b.text("#network"), "You can't change it here") {
		t.Error("a visitor through a proxy may change the network")
	}
	proxy.close()
	b.until(`document.querySelector('#stream').textContent.startsWith('lost')`)
	b.click("#asked .main")
	b.until(`document.querySelector('#said.wrong')?.textContent.includes('reached')`)
	proxy.open()
	b.until(live)
	in[any](b, `fetch('/baseline?delay=0').then(() => 0)`)
	b.until(`document.querySelector('#receipts a')?.href.includes('/receipts/')`)
	if value := b.text("[data-gauge=goroutines] .value"); !regexp.MustCompile(`^\d+$`).MatchString(value) {
		t.Errorf("%q goroutines", value)
	}
}

// front is a proxy that can be closed and opened again.
type front struct {
	url    string
	server *http.Server
	open   func()
}

func (f *front) close() { _ = f.server.Close() }

func openFront(t *testing.T, to string) *front {
	t.Helper()
	target, err := url.Parse(to)
	if err != nil {
		t.Fatal(err)
	}
	f, addr := &front{}, "127.0.0.81:0" // where no other test listens while it is closed
	f.open = func() {
		l, err := net.Listen("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		addr = l.Addr().String()
		f.url = "http://" + addr
		f.server = &http.Server{Handler: httputil.NewSingleHostReverseProxy(target)}
		go func() { _ = f.server.Serve(l) }()
	}
	f.open()
	t.Cleanup(f.close)
	return f
}

// A lane shows the Go code of its strategy for the op of the form, and hides it again. A
// change of the op hides all code. For an op without code the lane names the ops that have
// code.
func pageShowsCode(t *testing.T, browser context.Context, p program) {
	b := openTab(t, browser, narrow)
	b.open(p.url)
	const lane = `[data-name=context-cancel]`
	b.click(lane + " .code")
	b.until(`document.querySelector('` + lane + ` .source pre').textContent.includes('func ContextCancelDB(')`)
	b.screenshot("code", true)
	if wide := in[int](b, `document.documentElement.scrollWidth - innerWidth`); wide > 0 {
		t.Errorf("with the code the page is %d px too wide", wide)
	}
	b.click(lane + " .code")
	b.until(`!document.querySelector('.source')`)
	in[any](b, `{ const e = document.querySelector('[name=op]'); e.value = 'all'; e.dispatchEvent(new Event('change', { bubbles: true })) }`)
	b.click(lane + " .code")
	b.until(`document.querySelector('` + lane + ` .source').textContent.includes('there is no code of context-cancel for')`)
}

// A race that is over is an address, with its figures; another is set beside it, and one
// address has both. Who opens the address starts nothing.
func pageSetsBeside(t *testing.T, browser context.Context, p program) {
	figures := 0 // three for each strategy that suits the op
	for _, s := range lab.Strategies() {
		if s.Suits("http") {
			figures += 3
		}
	}
	b := openTab(t, browser, wide)
	b.open(p.url + "/?op=http&delay=300ms&timeout=50ms&backend=deaf&race=1")
	b.until(over)
	first := b.text("#saved")
	b.click("#keep")
	in[any](b, `document.querySelector('[name=ctx]').value = 'deaf'`)
	b.click("#asked .main")
	b.until(over)
	both := b.text("#saved")
	for name, l := range map[string]look{"wide": wide, "narrow": narrow} {
		b := openTab(t, browser, l)
		b.open(both)
		b.until(`document.querySelectorAll('#beside b.known').length`)
		for side, ctx := range map[string]string{"#lanes": "ctx=deaf", "#beside": "ctx=aware"} {
			known := in[int](b, `[...document.querySelectorAll('`+side+` b.known')].filter(b => b.textContent > '').length`)
			if caption := b.text(".side:has(" + side + ") .caption"); known != figures || !strings.Contains(caption, ctx) {
				t.Errorf("%s: %s has %d figures, and the caption %q", name, side, known, caption)
			}
		}
		if a, b := in[string](b, `document.querySelector('#lanes .axis').innerText`), in[string](b, `document.querySelector('#beside .axis').innerText`); a != b || a == "" {
			t.Errorf("%s: two scales: %q and %q", name, a, b)
		}
		if in[bool](b, `performance.getEntriesByType('resource').some(e => e.name.includes('/race'))`) {
			t.Errorf("%s: the address started a race", name)
		}
	}
	b.open(p.url + "/#saved=op%3Ddb*baseline_x_1_2_3&beside=*a_c_1e99_2_3")
	b.until(`document.querySelector('#said').textContent.startsWith('A recorded race')`)
	set := func(link string) {
		in[any](b, `{ const e = document.querySelector('#other'); e.value = '`+link+`'; e.dispatchEvent(new Event('change')) }`)
	}
	set("https://x.example/#nothing")
	b.until(`document.querySelector('#said.wrong')?.textContent.includes('no figures')`)
	set(first)
	b.until(`[...document.querySelectorAll('#beside b.known')].filter(b => b.textContent > '').length === ` + strconv.Itoa(figures))
}

// A preset, a slider and a reset change the network, and the page shows the measured
// figures.
func pageSetsNetwork(t *testing.T, browser context.Context, _ program) {
	p := start(t, "--network=none", "--network-driver=proxy")
	b := openTab(t, browser, wide)
	b.open(p.url)
	b.sets(".presets [value=cross-region]")
	if path := b.text("#path"); !strings.Contains(path, "delay=40ms") || !regexp.MustCompile(`measured\s+[1-9]\d+\.\d ms`).MatchString(path) {
		t.Errorf("the network is %s", path)
	}
	if pressed := b.text(".presets [aria-pressed=true]"); pressed != "cross-region" {
		t.Errorf("%s is pressed", pressed)
	}
	b.sets(".presets [value=cable]")
	if own, want := in[string](b, `document.querySelector('.own input').value`), "delay=14ms up.rate=1mbit down.rate=5mbit"; own != want || in[string](b, profile) != want {
		t.Errorf("the field has the network %s, want %s", own, want)
	}
	b.click("#reset")
	b.until(profile + ` === 'none'`)
	in[any](b, `{ const e = document.querySelector('[name=delay][type=range]'); e.value = 30; e.dispatchEvent(new Event('input', { bubbles: true })) }`)
	b.sets("#change .main")
	if profile := in[string](b, profile); profile != "delay=30ms" {
		t.Errorf("the slider made the network %s", profile)
	}
	b.screenshot("network", true)
	b.sets("#reset")
	if profile := in[string](b, profile); profile != "none" {
		t.Errorf("the network was reset to %s", profile)
	}
	b.open(p.url + "/?op=http&delay=50ms&timeout=20ms&network=delay%3D10ms&race=1")
	b.until(`document.querySelector('#said').textContent.includes('press Run to change the network')`)
	if profile := in[string](b, profile); profile != "none" || in[int](b, `document.querySelector('#receipts').querySelectorAll('tr:not(.empty)').length`) > 1 {
		t.Errorf("a link made the network %s, or began a race", profile)
	}
	eventually(t, "the network that the link asks for was set by a click, and its race run", func() bool {
		b.click("#asked .main")
		b.until(over + ` || document.querySelector('#said.wrong')`)
		return in[bool](b, over)
	})
	if profile := in[string](b, profile); profile != "delay=10ms" {
		t.Errorf("the network is %s, want that of the link", profile)
	}
}

// The panel of the network leads to its pictures, which come when the time of the watch is over.
func pageWatchesNetwork(t *testing.T, browser context.Context, p program) {
	b := openTab(t, browser, narrow)
	b.open(p.url)
	const link = `document.querySelector('#path a')`
	if in[bool](b, `!!`+link) {
		t.Error("a network of proxies can be watched")
	}
	needPackets(t, nil)
	p, _ = labProcess(t, nil, "--network=up.delay=20ms down.delay=40ms rate=5mbit loss=2%", "--network-driver=tun")
	for name, l := range map[string]look{"narrow": narrow, "wide-dark": wide.with("prefers-color-scheme", "dark")} {
		b := openTab(t, browser, l)
		b.open(p.url)
		b.sets(".presets [value=cable]") // the link is still there after a change
		in[any](b, link+`.scrollIntoView({ block: 'center' })`)
		b.screenshot("watch-link-"+name, false)
		in[any](b, link+`.target = ''; `+link+`.search = 'for=4s'; `+link+`.click()`)
		b.until(`document.querySelector('.watching')?.checkVisibility()`)
		b.screenshot("watching-"+name, false)
		for range 5 {
			p.complete(t, "/baseline?op=http&delay=0")
		}
		b.until(`document.readyState === 'complete' && document.querySelectorAll('svg').length === 2 && !document.querySelector('.watching').checkVisibility()`)
		if width := in[int64](b, `document.documentElement.scrollWidth`); width > l.width {
			t.Errorf("%s: the pictures are %d px wide", name, width)
		}
		if row := b.text("tbody tr"); !regexp.MustCompile(`sent\s+\d+ packets, .*\d+ packets`).MatchString(row) {
			t.Errorf("%s: the figures begin with %q", name, row)
		}
		for _, faint := range in[[]string](b, faintTexts) {
			t.Errorf("%s: less than 4.5 to 1: %s", name, faint)
		}
		b.screenshot("watched-"+name, true)
	}
}

const profile = `document.querySelector('#path').dataset.asked`

// sets clicks until the change of the network succeeds: on a busy machine its probes may be
// too late.
func (b tab) sets(selector string) {
	b.Helper()
	eventually(b, selector+" set the network", func() bool {
		b.click(selector)
		b.until(`!document.querySelector('#changed').textContent.endsWith('…')`)
		return strings.HasPrefix(b.text("#changed"), "Set:")
	})
}

// Each faulty server has a lane with the bound that was exceeded, and its phases.
func pageRunsPhases(t *testing.T, browser context.Context, p program) {
	want := map[string]string{
		"ok": "completed after", "silent": "header timeout after", "slow-tls": "tls timeout after", "stall": "read timeout after",
		"drip": "total timeout after", "refused": "connection refused after",
	}
	b := openTab(t, browser, wide)
	b.open(p.url)
	var lanes map[string][]string
	eventually(t, "each target's own bound was exceeded", func() bool { // the bounds are short, and on a busy machine another one may be
		b.click("#run-all")
		b.until(`document.querySelector('#ran').textContent.endsWith('.')`)
		lanes = in[map[string][]string](b, `Object.fromEntries([...document.querySelectorAll('.targets .lane')].map(lane =>
			[lane.dataset.name, [lane.querySelector('.left').textContent, ...[...lane.querySelectorAll('.bar')].map(bar => bar.className)]]))`)
		for name, begin := range want {
			if lane := append(lanes[name], ""); !strings.HasPrefix(lane[0], begin) {
				t.Logf("%s: %q, not %s", name, lane, begin)
				return false
			}
		}
		return true
	})
	b.screenshot("phases", true)
	for name := range want {
		lane := append(lanes[name], "", "")
		if !strings.HasPrefix(lane[1], "bar phase") {
			t.Errorf("%s: %q", name, lane)
		}
		if cut := strings.HasSuffix(lane[len(lanes[name])-1], " cut"); cut != (name != "ok") {
			t.Errorf("%s: cut is %v in %q", name, cut, lane)
		}
	}
	if len(lanes) < 10 {
		t.Errorf("%d lanes", len(lanes))
	}
}

// The Tab key reaches every control, and the focus is visible.
func pageByKeyboard(t *testing.T, browser context.Context, p program) {
	b := openTab(t, browser, wide)
	b.open(p.url)
	b.until(`document.querySelector('#again').disabled === false`)
	total := in[int](b, `(window.reachable = [...document.querySelectorAll('a[href], button, input, select, summary, [tabindex="0"]')].filter(e => e.checkVisibility({ visibilityProperty: true }) && !e.disabled && !e.closest('#receipts'))).length`)
	in[any](b, `{
		window.reached = new Map()
		document.addEventListener('focusin', e => { reached.set(e.target, getComputedStyle(e.target).outlineStyle) })
	}`)
	if err := chromedp.Do(b.ctx, chromedp.KeyEvent(strings.Repeat(kb.Tab, total+10))); err != nil {
		t.Fatal(err)
	}
	if missed := in[[]string](b, `reachable.filter(e => !reached.has(e)).map(e => e.outerHTML)`); len(missed) > 0 || total < 60 {
		t.Errorf("the Tab key misses %q of %d controls", missed, total)
	}
	if unseen := in[[]string](b, `reachable.filter(e => reached.get(e) === 'none').map(e => e.outerHTML)`); len(unseen) > 0 {
		t.Errorf("the focus is not visible on %q", unseen)
	}
}
