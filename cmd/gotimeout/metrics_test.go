package main

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"gotimeout/internal/lab"
	"gotimeout/internal/machine"
	"gotimeout/internal/telemetry"
)

// scrape is the answer of /metrics: values by series, as they are written.
type scrape map[string]float64

func (p program) scrape(t *testing.T) scrape {
	t.Helper()
	resp, err := http.Get(p.url + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("GET /metrics: %s, %v\n%s", resp.Status, err, text)
	}
	all := scrape{}
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		at := strings.LastIndex(line, " ")
		value, err := strconv.ParseFloat(strings.TrimSpace(line[at:]), 64)
		if err != nil {
			t.Fatalf("GET /metrics: %q: %v", line, err)
		}
		all[line[:at]] = value
	}
	return all
}

// The metrics agree with the receipts.
func TestMetrics(t *testing.T) {
	t.Parallel()
	p := start(t, "--max-in-flight=1")
	_, ok := p.complete(t, "/baseline?op=cache&delay=10ms")
	_, cut := p.complete(t, "/goroutine-abandon?op=db&delay=3s&timeout=500ms")
	held := make(chan error, 1)
	go func() { _, err := p.fetch("/baseline?delay=6s", new(any)); held <- err }()
	eventually(t, "a run is in flight", func() bool { return p.scrape(t)["gotimeout_in_flight"] == 1 })
	if status := p.get(t, "/context-cancel", new(any)); status != http.StatusServiceUnavailable {
		t.Errorf("a second run in flight has the status %d", status)
	}
	if err := <-held; err != nil {
		t.Fatal(err)
	}
	const abandoned = `{op="db",strategy="goroutine-abandon"}`
	now := p.scrape(t)
	for series, want := range map[string]float64{
		`gotimeout_runs_total{op="cache",status="completed",strategy="baseline"}`:       1,
		`gotimeout_runs_total{op="db",status="timed_out",strategy="goroutine-abandon"}`: 1,
		`gotimeout_runs_total{op="http",status="refused",strategy="context-cancel"}`:    1,
		`gotimeout_runs_total{op="http",status="failed",strategy="context-cancel"}`:     0,
		"gotimeout_timeout_seconds_sum" + abandoned:                                     .5,
		"gotimeout_answered_seconds_sum" + abandoned:                                    *cut.Answered / 1000,
		"gotimeout_overshoot_seconds_sum" + abandoned:                                   *cut.Overshoot / 1000,
		"gotimeout_straggle_seconds_sum" + abandoned:                                    *cut.Straggle / 1000,
		"gotimeout_waste_seconds_sum" + abandoned:                                       *cut.Waste / 1000,
		"gotimeout_waste_seconds_count" + abandoned:                                     1,
		`gotimeout_answered_seconds_sum{op="cache",strategy="baseline"}`:                *ok.Answered / 1000,
		`gotimeout_overshoot_seconds_count{op="cache",strategy="baseline"}`:             0,
		`gotimeout_straggle_seconds_count{op="cache",strategy="baseline"}`:              1,
		"gotimeout_in_flight": 0,
		"gotimeout_busy":      0,
	} {
		if got, there := now[series]; !there || got-want > 1e-6 || want-got > 1e-6 {
			t.Errorf("%s is %v (there: %t), want %v", series, got, there, want)
		}
	}
	if runtime.GOOS != "linux" {
		return
	}
	// An idle connection is closed after a second, so each try calls the cache before the
	// scrape.
	eventually(t, "the connection to the cache is among the metrics", func() bool {
		p.complete(t, "/baseline?op=cache&delay=10ms")
		return p.scrape(t)[`gotimeout_connections{backend="cache",state="ESTABLISHED"}`] == 1
	})
}

// More runs make no more series, except for the states of connections, which come from
// the kernel.
func TestMetricsAreBounded(t *testing.T) {
	p := start(t)
	known := func() []string {
		return slices.DeleteFunc(slices.Sorted(maps.Keys(p.scrape(t))), func(series string) bool {
			return !strings.HasPrefix(series, "gotimeout_") || strings.HasPrefix(series, "gotimeout_connections")
		})
	}
	before := known()
	for i := range 20 {
		p.complete(t, fmt.Sprintf("/context-cancel?op=db&delay=%dms&timeout=%dms", i, i+1))
	}
	p.get(t, "/nothing?op=here", new(any))
	p.get(t, "/baseline?op=here", new(any))
	if after := known(); !slices.Equal(before, after) {
		t.Errorf("%d series before, %d after", len(before), len(after))
	}
}

var slowLine = regexp.MustCompile(`level=WARN msg=slow strategy=(\S+) op=http answered=(\S+) timeout=20ms status=(\S+) receipt=(\S+)`)

// A bounded run that is answered too late is logged with its receipt. A run of the baseline
// has no timeout, and is never late.
func TestLogSlow(t *testing.T) {
	t.Parallel()
	p := start(t, "--log-slow=2s")
	p.complete(t, "/context-cancel?delay=3s&timeout=20ms")
	p.complete(t, "/baseline?delay=3s&timeout=20ms")
	_, late := p.complete(t, "/context-cancel?delay=3s&timeout=20ms&ctx=deaf")
	_, deaf := p.complete(t, "/errgroup?delay=3s&timeout=20ms&ctx=deaf")
	p.stop()
	lines := slowLine.FindAllStringSubmatch(p.log.String(), -1)
	if len(lines) != 2 {
		t.Fatalf("%d lines, want 2:\n%s", len(lines), p.log)
	}
	for i, want := range [][]string{{"context-cancel", "completed", late.ID}, {"errgroup", "timed_out", deaf.ID}} {
		answered, err := time.ParseDuration(lines[i][2])
		if err != nil || answered < 3*time.Second || !slices.Equal([]string{lines[i][1], lines[i][3], lines[i][4]}, want) {
			t.Errorf("%s, want %q", lines[i][0], want)
		}
	}
}

func TestLogSlowOff(t *testing.T) {
	p := start(t, "--log-slow=0")
	p.complete(t, "/errgroup?delay=100ms&timeout=1ms&ctx=deaf")
	p.stop()
	if strings.Contains(p.log.String(), "msg=slow") {
		t.Errorf("the log has the slow run:\n%s", p.log)
	}
}

// As JSON the log has one line for each event, with the same keys.
func TestLogFormat(t *testing.T) {
	p := start(t, "--log-format=json", "--log-slow=10ms")
	_, deaf := p.complete(t, "/errgroup?delay=100ms&timeout=1ms&ctx=deaf")
	p.stop()
	slow := 0
	for line := range strings.Lines(p.log.String()) {
		var event struct{ Msg, Level, Strategy, Receipt string }
		if err := json.Unmarshal([]byte(line), &event); err != nil || event.Msg == "" || event.Level == "" {
			t.Errorf("%q (%v)", line, err)
		}
		if event.Msg == "slow" && event.Strategy == "errgroup" && event.Receipt == deaf.ID {
			slow++
		}
	}
	if slow != 1 {
		t.Errorf("%d lines about the slow run, want 1:\n%s", slow, p.log)
	}
}

// BenchmarkInstruments measures the cost of the instruments for a request: the processor
// time of the lab, its httpbin and the client, as a ratio to a lab without instruments. The
// labs take turns, and the ratio is the median over the rounds, because a shared machine
// changes from round to round. The metrics are always on; their bar is 1.05.
//
//	go test -run '^$' -bench Instruments -benchtime 30x ./cmd/gotimeout
func BenchmarkInstruments(b *testing.B) {
	labs := []string{
		openBare(b, nil, noInstruments), openBare(b, nil, noKernel),
		openBare(b, collectorOf(b, "1"), noKernel), openBare(b, collectorOf(b, "0.01"), noKernel),
	}
	ratios := make([][]float64, len(labs))
	used := make([]time.Duration, len(labs))
	for _, url := range labs {
		callLab(b, url) // fills the pools and makes the native buckets
	}
	for b.Loop() {
		for i, url := range labs {
			used[i] = callLab(b, url)
			ratios[i] = append(ratios[i], used[i].Seconds()/used[0].Seconds())
		}
	}
	b.ReportMetric(float64(used[0].Microseconds())/requests, "µs/request")
	for i, name := range []string{"", "metrics", "traces", "traces-1%"} {
		if slices.Sort(ratios[i]); i > 0 {
			b.ReportMetric(ratios[i][len(ratios[i])/2], name)
		}
	}
}

const requests, clients = 4000, 8

// callLab sends requests to a lab, and returns their processor time.
func callLab(b *testing.B, lab string) time.Duration {
	before := machine.Used().ProcessorTime
	var all sync.WaitGroup
	for range clients {
		all.Go(func() {
			for range requests / clients {
				resp, err := http.Get(lab + "/context-cancel?delay=0")
				if err != nil {
					b.Error(err)
					return
				}
				_, _ = io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
			}
		})
	}
	all.Wait()
	return machine.Used().ProcessorTime - before
}

// openBare serves a lab that instruments has changed, and returns its URL.
func openBare(b *testing.B, traces *telemetry.Collector, instruments func(*lab.Lab)) string {
	l, err := lab.Open(b.Context(), lab.Settings{
		MaxDelay: time.Second, MaxTimeout: time.Second, Receipts: 1000, MaxInFlight: 1000, MaxAbandoned: 1000, Collector: traces,
	}, slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	instruments(l)
	server := httptest.NewServer(l.Routes())
	b.Cleanup(func() { server.Close(); l.Close() })
	return server.URL
}

func noInstruments(l *lab.Lab) { l.Ledger.Watcher, l.Metrics, l.Kernel = nil, nil, nil }
func noKernel(l *lab.Lab)      { l.Kernel = nil }
func allInstruments(*lab.Lab)  {}

// collectorOf returns a collector that drops the traces of a share of the requests.
func collectorOf(b *testing.B, share string) *telemetry.Collector {
	collector := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) }))
	b.Cleanup(collector.Close)
	b.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.URL)
	b.Setenv("OTEL_TRACES_SAMPLER", "parentbased_traceidratio")
	b.Setenv("OTEL_TRACES_SAMPLER_ARG", share)
	to, err := telemetry.ReadCollector(os.Getenv)
	if err != nil {
		b.Fatal(err)
	}
	return to
}

// BenchmarkScrape scrapes a new lab over HTTP: all series are there from the start. The bar is
// 5 ms for the shortest scrape, which is the time on a quiet machine.
func BenchmarkScrape(b *testing.B) {
	lab := openBare(b, nil, allInstruments)
	callLab(b, lab)
	least := time.Hour
	for b.Loop() {
		start := time.Now()
		resp, err := http.Get(lab + "/metrics")
		if err != nil {
			b.Fatal(err)
		}
		n, _ := io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		b.SetBytes(n)
		least = min(least, time.Since(start))
	}
	b.ReportMetric(least.Seconds()*1000, "least-ms")
}
