package main

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/cdproto"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
)

// openBrowser starts a Chromium that all tabs of a test share, until the test ends.
// Without Chromium it skips the test, or fails it if GOTIMEOUT_CHROMIUM=require.
func openBrowser(t testing.TB) context.Context {
	t.Helper()
	path := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "chrome"} {
		if found, err := exec.LookPath(name); err == nil && path == "" {
			path = found
		}
	}
	switch {
	case path != "":
	case os.Getenv("GOTIMEOUT_CHROMIUM") == "require":
		t.Fatal("GOTIMEOUT_CHROMIUM=require, and there is no chromium: apt-get install chromium")
	default:
		t.Skip("there is no chromium")
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.Flag("hide-scrollbars", true))
	if os.Geteuid() == 0 {
		options = append(options, chromedp.NoSandbox) // Chromium has no sandbox for root
	}
	allocator, free := chromedp.NewExecAllocator(context.Background(), options...)
	browser, leave := chromedp.NewContext(allocator)
	t.Cleanup(func() {
		if err := chromedp.Cancel(browser); err != nil && allocator.Err() == nil {
			t.Logf("the browser ended with an error: %v", err)
		}
		leave()
		free()
	})
	if err := chromedp.Do(browser); err != nil {
		t.Fatal(err)
	}
	return browser
}

// tab is a tab of the browser.
type tab struct {
	testing.TB
	ctx context.Context
}

// look is the window and the media features of a tab.
type look struct {
	width, height int64
	media         map[string]string // prefers-color-scheme: dark
	noScript      bool
}

var wide, narrow = look{width: 1280, height: 900}, look{width: 360, height: 740}

func (l look) with(feature, value string) look {
	l.media = map[string]string{feature: value}
	return l
}

// openTab opens a tab that watches for errors and for layout shifts.
func openTab(t testing.TB, browser context.Context, l look) tab {
	t.Helper()
	ctx, cancel := chromedp.NewContext(browser, chromedp.WithNewWindow(true))
	b := tab{t, ctx}
	if err := chromedp.Do(ctx); err != nil {
		t.Fatal(err)
	}
	messages, watched := chromedp.Console(ctx), make(chan bool)
	go func() {
		defer close(watched)
		for m, err := range messages {
			if err != nil {
				return
			}
			if m.IsException() || m.Source == "security" {
				t.Errorf("the page says: %s", m)
			}
		}
	}()
	t.Cleanup(func() { cancel(); <-watched })
	b.must(chromedp.Call(ctx, emulation.SetFocusEmulationEnabled, emulation.SetFocusEmulationEnabledParams{Enabled: true}))
	b.become(l)
	b.must(chromedp.Call(ctx, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: l.noScript}))
	_, err := chromedp.Call(ctx, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{Source: watcher})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// become gives the tab another window and other media features.
func (b tab) become(l look) {
	b.Helper()
	var media []*emulation.MediaFeature
	for name, value := range l.media {
		media = append(media, &emulation.MediaFeature{Name: name, Value: value})
	}
	b.must(chromedp.Call(b.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: media}))
	b.must(chromedp.Call(b.ctx, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{
		Width: l.width, Height: l.height, DeviceScaleFactor: 1, Mobile: l.width < 500,
	}))
}

// watcher records the layout shifts, and counts the animation frames.
const watcher = `
window.jumps = []; window.frames_ = 0
new PerformanceObserver(list => { for (const e of list.getEntries()) jumps.push(...e.sources.map(s => s.previousRect.y + ' to ' + s.currentRect.y + ': ' + (s.node?.outerHTML ?? s.node?.textContent ?? '?').slice(0, 80))) })
	.observe({ type: 'layout-shift', buffered: true })
const request = window.requestAnimationFrame
window.requestAnimationFrame = f => { frames_++; return request(f) }`

func (b tab) must(_ any, err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

func (b tab) open(url string) {
	b.Helper()
	if err := chromedp.Do(b.ctx, chromedp.Navigate(url)); err != nil {
		b.Fatal(err)
	}
}

// in evaluates JavaScript in a tab.
func in[T any](b tab, expression string) T {
	b.Helper()
	v, err := evaluate[T](b, expression)
	if err != nil {
		b.Fatalf("%s: %v", expression, err)
	}
	return v
}

func evaluate[T any](b tab, expression string) (T, error) {
	return chromedp.Run(b.ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
}

// until waits until a JavaScript expression is true. It may become so in the next page: an
// evaluation during which the page is left is an error of the browser, and is made again.
func (b tab) until(expression string) {
	b.Helper()
	defer func() {
		if b.Failed() {
			said, err := evaluate[string](b, `['#said', '#changed'].map(s => document.querySelector(s)?.textContent ?? '').join(' ')`)
			b.Logf("the page says: %s (%v)", said, err)
		}
	}()
	eventually(b, expression, func() bool {
		is, err := evaluate[bool](b, `!!(`+expression+`)`)
		if left := new(cdproto.Error); err != nil && !(errors.As(err, &left) && left.Code == -32000) {
			b.Fatalf("%s: %v", expression, err)
		}
		return is
	})
}

func (b tab) click(selector string) {
	b.Helper()
	in[any](b, `document.querySelector('`+selector+`').click()`)
}

// text returns the text of an element.
func (b tab) text(selector string) string {
	b.Helper()
	return in[string](b, `document.querySelector('`+selector+`').innerText`)
}

// screenshot writes a screenshot if GOTIMEOUT_SCREENSHOTS names a directory.
func (b tab) screenshot(name string, whole bool) {
	b.Helper()
	dir := os.Getenv("GOTIMEOUT_SCREENSHOTS")
	if dir == "" {
		return
	}
	take := chromedp.CaptureScreenshot()
	if whole {
		take = chromedp.FullScreenshot(100)
	}
	picture, err := chromedp.Run(b.ctx, take)
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, strings.ReplaceAll(name, "/", "-")+".png"), picture, 0o666)
	}
	if err != nil {
		b.Fatal(err)
	}
}
