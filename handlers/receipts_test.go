package handlers_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"gotimeout/handlers"
	"gotimeout/internal/backends"
	httpbackend "gotimeout/internal/backends/http"
	"gotimeout/internal/badnet"
	"gotimeout/internal/golden"
	"gotimeout/internal/machine"
	"gotimeout/internal/receipt"
	"gotimeout/internal/stacks"
	"gotimeout/slowops"
)

type receipts struct {
	Receipts []receipt.View `json:"receipts"`
}

// /receipts has the newest receipts first: 20, or as many as limit says.
func TestReceipts(t *testing.T) {
	bubble(t, func(t *testing.T, lab *handlers.Lab) {
		if got := get(t, lab, "/receipts").Body.String(); got != "{\n  \"receipts\": []\n}\n" {
			t.Errorf("an empty ledger: %s", got)
		}
		for range 25 {
			get(t, lab, "/baseline?delay=0")
		}
		for query, want := range map[string]int{"": 20, "?limit=1": 1, "?limit=24": 24, "?limit=50": 25} {
			w := get(t, lab, "/receipts"+query)
			checkStatus(t, w, http.StatusOK)
			got := read[receipts](t, w).Receipts
			if len(got) != want || got[0].ID != "lab-25" {
				t.Errorf("%s: %d receipts from %s, want %d from lab-25", query, len(got), got[0].ID, want)
			}
		}
	})
}

// The list that is written one by one is the one that is written at once.
func TestReceiptsAsOne(t *testing.T) {
	bubble(t, func(t *testing.T, lab *handlers.Lab) {
		for range 3 {
			get(t, lab, "/baseline?delay=0")
		}
		var compact, indented bytes.Buffer
		people := get(t, lab, "/receipts").Body
		if err := json.Compact(&compact, people.Bytes()); err != nil {
			t.Fatal(err)
		}
		_ = json.Indent(&indented, compact.Bytes(), "", "  ")
		if indented.WriteByte('\n'); indented.String() != people.String() {
			t.Errorf("for people\n%s", people)
		}
		r := request(t.Context(), http.MethodGet, "/receipts")
		r.Header.Set("User-Agent", "a program")
		w := httptest.NewRecorder()
		lab.Routes().ServeHTTP(w, r)
		if w.Body.String() != compact.String() && w.Body.String() != compact.String()+"\n" {
			t.Errorf("for programs\n%s\nwant\n%s", w.Body, &compact)
		}
	})
}

// With after= come the receipts after that ID, the oldest first, as long as the ledger
// still has the next one. A reader that asks again with its last ID misses no receipt.
func TestReceiptsAfter(t *testing.T) {
	bubble(t, func(t *testing.T, lab *handlers.Lab) {
		for range 60 { // the ledger holds 50
			get(t, lab, "/baseline?delay=0")
		}
		for query, want := range map[string]struct {
			first string
			n     int
		}{
			"after=lab-10":          {"lab-11", 20},
			"after=lab-10&limit=50": {"lab-11", 50},
			"after=lab-58&limit=50": {"lab-59", 2},
			"after=lab-59&limit=1":  {"lab-60", 1},
			"after=lab-60":          {"", 0},
		} {
			w := get(t, lab, "/receipts?"+query)
			checkStatus(t, w, http.StatusOK)
			got := read[receipts](t, w).Receipts
			if got == nil || len(got) != want.n || want.n > 0 && got[0].ID != want.first {
				t.Errorf("%s: %d receipts, want %d from %s: %+v", query, len(got), want.n, want.first, got)
			}
		}
		last, i := "lab-10", 10
		for range 8 {
			for _, v := range read[receipts](t, get(t, lab, "/receipts?limit=7&after="+last)).Receipts {
				i++
				if last = v.ID; last != fmt.Sprint("lab-", i) {
					t.Fatalf("got %s as number %d", last, i)
				}
			}
		}
		if i != 60 {
			t.Errorf("the last is %d, want 60", i)
		}
		w := get(t, lab, "/receipts?after=lab-9")
		checkStatus(t, w, http.StatusGone)
		checkRefused(t, w, "receipts_gone", `the receipts right after "lab-9" are gone: the ledger holds the last 50 (--receipts): ask sooner, or for those after a later one`)
	})
}

// A run without an answer is in the list, without a status.
func TestReceiptInFlight(t *testing.T) {
	bubble(t, func(t *testing.T, lab *handlers.Lab) {
		go serve(lab, request(t.Context(), http.MethodGet, "/baseline?delay=5h"))
		time.Sleep(hour)
		got := read[receipts](t, get(t, lab, "/receipts")).Receipts
		if len(got) != 1 || got[0].Complete || got[0].Status != nil || got[0].Answered != nil || got[0].Name != "baseline" {
			t.Errorf("%+v", got)
		}
	})
}

// A receipt shows where a call that goes on is, as JSON and on its page.
func TestStack(t *testing.T) {
	lab, begun, end := newLab(roomy), make(chan struct{}), make(chan struct{})
	lab.Ops = []handlers.Op{{Name: "db", Parts: parts(func(context.Context, slowops.Call) error { close(begun); <-end; return nil })}}
	type withStacks struct {
		Complete bool
		Stacks   []stacks.Stack
	}
	checkStatus(t, get(t, lab, "/goroutine-abandon?op=db&delay=0&timeout=10ms"), http.StatusGatewayTimeout)
	<-begun
	v := read[withStacks](t, get(t, lab, "/receipts/lab-1?stack=1"))
	if v.Complete || len(v.Stacks) != 1 || v.Stacks[0].Goroutines != 1 || !strings.Contains(v.Stacks[0].Stack, "handlers_test.TestStack") {
		t.Errorf("while the call goes on: %+v", v)
	}
	for query, has := range map[string]bool{"": false, "&stack=1": true} {
		page := get(t, lab, "/receipts/lab-1?format=html"+query).Body.String()
		if strings.Contains(page, "handlers_test.TestStack") != has || strings.Contains(page, `href="?format=html&amp;stack=1"`) == has {
			t.Errorf("the page with %q:\n%s", query, page)
		}
	}
	lab.Public = true
	if page := get(t, lab, "/receipts/lab-1?format=html").Body.String(); strings.Contains(page, "stack=1") {
		t.Errorf("in a public lab:\n%s", page)
	}
	checkRefused(t, get(t, lab, "/receipts/lab-1?stack=1"), "bad_parameter", "stack=1 stops all goroutines for a moment, and this lab is public: ask a lab of your own")
	lab.Public = false
	close(end)
	v = read[withStacks](t, get(t, lab, "/receipts/lab-1?wait=1h&stack=1"))
	if !v.Complete || v.Stacks == nil || len(v.Stacks) > 0 {
		t.Errorf("after its end: %+v", v)
	}
	if body := get(t, lab, "/receipts/lab-1").Body.String(); strings.Contains(body, "stacks") {
		t.Errorf("without stack=1:\n%s", body)
	}
}

func TestBadReceiptParameters(t *testing.T) {
	const (
		limits = " is no number from 1 to 50: the ledger holds no more receipts"
		once   = " is given 2 times: give it once"
	)
	for target, want := range map[string]string{
		"/receipts?limit=0":                    "limit=0" + limits,
		"/receipts?limit=-1":                   "limit=-1" + limits,
		"/receipts?limit=51":                   "limit=51" + limits,
		"/receipts?limit=ten":                  "limit=ten" + limits,
		"/receipts?limit=1.5":                  "limit=1.5" + limits,
		"/receipts?limit=99999999999999999999": "limit=99999999999999999999" + limits,
		"/receipts?limit=":                     "limit is empty: give it a value or leave it out",
		"/receipts?limit=1&limit=1":            "limit" + once,
		"/receipts?wait=1s":                    `there is no parameter "wait": use after, limit or format`,
		"/receipts?after=":                     "after is empty: give it a value or leave it out",
		"/receipts?after=lab-1&limit=51":       "limit=51" + limits,
		"/receipts?limit=%zz":                  `the query is malformed (invalid URL escape "%zz"): write name=value&name=value`,
		"/receipts/lab-1?limit=1":              `there is no parameter "limit": use wait, format or stack`,
		"/receipts/lab-1?wait=1s&wait=1s":      "wait" + once,
		"/receipts/lab-1?wait=long":            "wait=long is no duration: write 250ms, 1.5s or plain seconds",
		"/receipts/lab-1?stack=yes":            "stack=yes is not known: use 0 or 1",
		"/receipts/lab-1?format=text":          "format=text is not known: use html or json",
		"/receipts/lab-1?wait=-1":              "wait=-1 is negative: use 0 to 46h0m15s",
		"/receipts/lab-1?wait=46h16s":          "wait=46h16s is over this lab's cap: use at most 46h0m15s",
	} {
		w := get(t, newLab(roomy), target)
		if w.Code != http.StatusBadRequest {
			t.Errorf("%s: status %d", target, w.Code)
			continue
		}
		checkRefused(t, w, "bad_parameter", want)
	}
}

func TestNoReceipt(t *testing.T) {
	for _, id := range []string{"lab-1", "other-1", "x", "lab-", "-", "lab-99999999999999999999"} {
		w := get(t, newLab(roomy), "/receipts/"+id+"?wait=1h")
		checkStatus(t, w, http.StatusNotFound)
		const held = `": the ledger holds the last 50 runs of this lab, see /receipts`
		checkRefused(t, w, "no_receipt", `there is no receipt "`+id+held)
		w = get(t, newLab(roomy), "/receipts?after="+id)
		checkStatus(t, w, http.StatusNotFound)
		checkRefused(t, w, "no_receipt", `there is no receipt "`+id+held)
	}
}

// A wait ends when the receipt is complete, or when the time of the wait is over.
func TestReceiptWait(t *testing.T) {
	for wait, want := range map[string]struct {
		after    time.Duration
		complete bool
	}{
		"":           {0, false},
		"?wait=0":    {0, false},
		"?wait=2h":   {2 * hour, false},
		"?wait=7200": {2 * hour, false},
		"?wait=5h":   {4 * hour, true},
		"?wait=16h":  {4 * hour, true},
	} {
		bubble(t, func(t *testing.T, lab *handlers.Lab) {
			checkStatus(t, get(t, lab, "/goroutine-abandon?delay=5h&timeout=1h"), http.StatusGatewayTimeout)
			start := time.Now()
			w := get(t, lab, "/receipts/lab-1"+wait)
			checkStatus(t, w, http.StatusOK)
			v := read[receipt.View](t, w)
			if d := time.Since(start); d != want.after || v.Complete != want.complete || (v.Ended != nil) != want.complete {
				t.Errorf("%q: after %v, complete %t; want %+v", wait, d, v.Complete, want)
			}
			settle(t, lab)
			start = time.Now()
			if v := read[receipt.View](t, get(t, lab, "/receipts/lab-1"+wait)); !v.Complete || time.Since(start) != 0 {
				t.Errorf("%q: a wait for a complete receipt took %v", wait, time.Since(start))
			}
		})
	}
}

// httpLab serves a lab with the real op http alone, with receipts or without, and
// returns its URL.
func httpLab(tb testing.TB, receipts bool) string {
	tb.Helper()
	lab := newLab(receipt.Limits{InFlight: 2048, Abandoned: 8192, Busy: 8})
	lab.Ledger = receipt.NewLedger("lab", 10_000, lab.Ledger.Limits())
	var options backends.Options
	if receipts {
		options.Began = func(run string) { lab.Ledger.Get(run).BackendBegan() }
		options.Ended = func(run string) { lab.Ledger.Get(run).BackendEnded() }
	}
	options.MaxDelay = lab.MaxDelay
	backend, err := httpbackend.Start(options)
	if err != nil {
		tb.Fatal(err)
	}
	op := slowops.NewHTTP("http://"+backend.Addr, 0)
	lab.Ops = []handlers.Op{{
		Name: "http", Dials: true, Backends: []string{"aware", "deaf"}, Reports: 1, Seen: true,
		Parts: parts(func(ctx context.Context, c slowops.Call) error {
			return op.Do(ctx, c)
		}),
	}}
	routes := lab.Routes()
	if !receipts {
		routes = lab.WithoutReceipts()
	}
	server := httptest.NewServer(routes)
	tb.Cleanup(func() {
		server.Close()
		op.Close()
		_ = backend.Close()
	})
	return server.URL
}

// The two handlers that BenchmarkReceipts compares give the same answers.
func TestWithoutReceiptsAnswersAlike(t *testing.T) {
	defer http.DefaultClient.CloseIdleConnections()
	var answers [2]map[string]any
	for i, receipts := range []bool{true, false} {
		resp, err := http.Get(httpLab(t, receipts) + "/context-cancel?op=http&delay=0&timeout=10s")
		if err != nil {
			t.Fatal(err)
		}
		err = json.NewDecoder(resp.Body).Decode(&answers[i])
		_ = resp.Body.Close()
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Fatalf("%s, %v", resp.Status, err)
		}
		for _, differs := range []string{"time", "answered_ms", "receipt"} {
			if answers[i][differs] == nil {
				t.Errorf("%v has no %s", answers[i], differs)
			}
			delete(answers[i], differs)
		}
	}
	if !reflect.DeepEqual(answers[0], answers[1]) {
		t.Errorf("%v, without receipts %v", answers[0], answers[1])
	}
}

// BenchmarkReceipts loads two labs with wrk, one with receipts and one without, in turn
// for a second each: an iteration is a pair. Both labs share the heap of this process,
// because a lab that keeps nothing would have a smaller heap and collect garbage more often.
func BenchmarkReceipts(b *testing.B) {
	if _, err := exec.LookPath("wrk"); err != nil {
		b.Skip("wrk makes the load: install it (Debian: apt-get install wrk)")
	}
	const path = "/context-cancel?op=http&delay=0&timeout=1s"
	urls := map[string]string{"with": httpLab(b, true) + path, "without": httpLab(b, false) + path}
	order := []string{"with", "without"}
	for _, url := range urls { // the first second opens the connections and fills the ledger
		second(b, url)
	}
	spent := map[string][]cost{}
	for b.Loop() {
		for _, name := range order {
			spent[name] = append(spent[name], second(b, urls[name]))
		}
		slices.Reverse(order)
	}
	for _, what := range []struct {
		unit string
		of   func(cost) float64
	}{
		{"requests/s", func(c cost) float64 { return c.requests }},
		{"µs/request", func(c cost) float64 { return c.processor / c.requests }},
		{"B/request", func(c cost) float64 { return c.allocated / c.requests }},
	} {
		var with, without, ratios []float64
		for i, c := range spent["with"] {
			with, without = append(with, what.of(c)), append(without, what.of(spent["without"][i]))
			ratios = append(ratios, with[i]/without[i])
		}
		b.ReportMetric(middle(with), what.unit)
		b.ReportMetric(middle(without), what.unit+"-without")
		b.ReportMetric(middle(ratios), what.unit+"-ratio")
	}
	b.ReportMetric(0, "ns/op")
}

// cost is the load of a second and its cost in this process.
type cost struct{ requests, processor, allocated float64 } // processor in µs

var wrkRequests = regexp.MustCompile(`(\d+) requests in `)

// second loads a URL for a second.
func second(b *testing.B, url string) (c cost) {
	b.Helper()
	before := machine.Used()
	out, err := exec.CommandContext(b.Context(), "wrk", "-t2", "-c64", "-d1s", url).CombinedOutput()
	after := machine.Used()
	found := wrkRequests.FindSubmatch(out)
	if err != nil || found == nil || bytes.Contains(out, []byte("Non-2xx")) || bytes.Contains(out, []byte("Socket errors")) {
		b.Fatalf("wrk: %v: %s", err, out)
	}
	c.requests, _ = strconv.ParseFloat(string(found[1]), 64) // the pattern matches a number
	c.processor = float64((after.ProcessorTime - before.ProcessorTime).Microseconds())
	c.allocated = float64(after.Allocated - before.Allocated)
	return c
}

func middle(values []float64) float64 {
	return slices.Sorted(slices.Values(values))[len(values)/2]
}

const browser = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"

func receiptPage(t *testing.T, lab *handlers.Lab, path string) *httptest.ResponseRecorder {
	t.Helper()
	r := request(t.Context(), http.MethodGet, path)
	r.Header.Set("Accept", browser)
	w := serve(lab, r)
	checkStatus(t, w, http.StatusOK)
	if got := w.Header().Get("Content-Type"); got != "text/html; charset=utf-8" {
		t.Errorf("Content-Type %q", got)
	}
	return w
}

// The run of the golden file has all that a receipt can have: a network, a phase that
// timed out, and a dial that it left behind.
func TestReceiptPage(t *testing.T) {
	bubble(t, func(t *testing.T, lab *handlers.Lab) {
		lab.Network = &fakeNetwork{state: badnet.State{Path: badnet.Path{Driver: "netem", Profile: "3g"}}}
		lab.Ops[0].Parts = parts(func(_ context.Context, c slowops.Call) error {
			rc := lab.Ledger.Get(c.Run)
			c.Dialed()
			ended := c.Phase("http", "dns")
			time.Sleep(20 * time.Millisecond)
			ended(nil)
			ended = c.Phase("http", "connect")
			rc.BackendBegan()
			time.Sleep(200 * time.Millisecond)
			ended(codedError{"connect_timeout", true})
			c.Phase("http", "first_byte")
			c.Outlived("a dialer with a timeout")
			time.AfterFunc(3*time.Second, rc.BackendEnded)
			return codedError{"connect_timeout", true}
		})
		get(t, lab, "/io-timeout?delay=2s&timeout=1s&connect_timeout=200ms")
		settle(t, lab)
		page := receiptPage(t, lab, "/receipts/lab-1").Body.Bytes()
		golden.Check(t, "receipt.html", page)
		for _, link := range links(t, page) {
			if w := get(t, lab, link); w.Code == http.StatusNotFound || w.Code == http.StatusBadRequest {
				t.Errorf("%s: status %d", link, w.Code)
			}
		}
		settle(t, lab)
	})
}

// While work goes on the page reloads, and a bar with an unknown end is drawn as
// unknown.
func TestReceiptPageInFlight(t *testing.T) {
	bubble(t, func(t *testing.T, lab *handlers.Lab) {
		const again = `<meta http-equiv="refresh"`
		go serve(lab, request(t.Context(), http.MethodGet, "/goroutine-abandon?delay=5h&timeout=2h&backend=deaf"))
		for _, at := range []struct {
			status string
			again  bool
			notYet int
		}{{"in flight", true, 3}, {"timed_out", true, 2}, {"timed_out", false, 0}} {
			time.Sleep(hour)
			if !at.again {
				settle(t, lab)
			}
			page := receiptPage(t, lab, "/receipts/lab-1").Body.String()
			if !strings.Contains(page, "<b>"+at.status+"</b>") || strings.Contains(page, again) != at.again || strings.Count(page, ">not yet<") != at.notYet {
				t.Errorf("want %+v in\n%s", at, page)
			}
			time.Sleep(hour)
		}
	})
}

// A program gets JSON by default, and format= gives either form to anyone.
func TestReceiptFormat(t *testing.T) {
	bubble(t, func(t *testing.T, lab *handlers.Lab) {
		get(t, lab, "/context-cancel?op=cache")
		for _, tc := range []struct {
			accept, query string
			html          bool
		}{
			{"", "", false}, {"*/*", "", false}, {"application/json", "", false}, {"text/html;q=0.5, application/json", "", false},
			{browser, "", true}, {"text/html", "?wait=1s", true}, {browser, "?format=json", false}, {"*/*", "?format=html", true},
		} {
			r := request(t.Context(), http.MethodGet, "/receipts/lab-1"+tc.query)
			r.Header.Set("Accept", tc.accept)
			w := serve(lab, r)
			checkStatus(t, w, http.StatusOK)
			if tc.html {
				if !strings.Contains(w.Body.String(), ">unknown<") {
					t.Errorf("%q %s: the answer is not the page", tc.accept, tc.query)
				}
			} else if v := read[receipt.View](t, w); v.ID != "lab-1" {
				t.Errorf("%+v", v)
			}
		}
	})
}

// The page escapes the text of a backend's error.
func TestReceiptPageEscapes(t *testing.T) {
	bubble(t, func(t *testing.T, lab *handlers.Lab) {
		lab.Ops[4].Parts = parts(func(context.Context, slowops.Call) error {
			return codedError{`<script>alert("x")</script>`, false}
		})
		get(t, lab, "/io-timeout?op=fails")
		page := receiptPage(t, lab, "/receipts/lab-1").Body.String()
		if strings.Contains(page, "<script") || !strings.Contains(page, "&lt;script&gt;") {
			t.Errorf("\n%s", page)
		}
	})
}
