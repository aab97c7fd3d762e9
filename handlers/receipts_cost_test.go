package handlers_test

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"testing"

	"gotimeout/handlers"
	"gotimeout/internal/backends"
	httpbackend "gotimeout/internal/backends/http"
	"gotimeout/internal/machine"
	"gotimeout/internal/receipt"
	"gotimeout/slowops"
)

// httpLab serves a lab whose one op is the real http, with its receipts or
// without, and returns its URL.
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

// The benchmark compares what answers alike.
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

// BenchmarkReceipts loads two labs with wrk, with receipts and without, a second
// each in turns: a pair an iteration. Both are in this process and share its heap,
// so that a lab that keeps nothing doesn't pay by collecting garbage more often.
func BenchmarkReceipts(b *testing.B) {
	if _, err := exec.LookPath("wrk"); err != nil {
		b.Skip("wrk makes the load: install it (Debian: apt-get install wrk)")
	}
	const path = "/context-cancel?op=http&delay=0&timeout=1s"
	urls := map[string]string{"with": httpLab(b, true) + path, "without": httpLab(b, false) + path}
	order := []string{"with", "without"}
	for _, url := range urls { // once, for the connections and the ledger
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

// cost is what a second of load was, and took of this process.
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
	c.requests, _ = strconv.ParseFloat(string(found[1]), 64) // wrk printed a number
	c.processor = float64((after.ProcessorTime - before.ProcessorTime).Microseconds())
	c.allocated = float64(after.Allocated - before.Allocated)
	return c
}

func middle(values []float64) float64 {
	return slices.Sorted(slices.Values(values))[len(values)/2]
}
