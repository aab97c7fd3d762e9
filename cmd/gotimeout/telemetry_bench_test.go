package main

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"gotimeout/internal/lab"
	"gotimeout/internal/machine"
	"gotimeout/internal/telemetry"
)

// What the instruments cost a request: the processor time of the lab, its
// httpbin and the client, for each beside a lab without them. The rounds take
// turns, and the ratio is the median of theirs: a machine that others use as
// well is not the same from one to the next. At most 1.05 is the bar for the
// metrics, which are always on.
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
		callLab(b, url) // the pools, and the native buckets
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

// callLab sends requests to a lab, and returns the processor time they took.
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

// collectorOf is one that takes and forgets the traces of a share of the requests.
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

// A scrape over HTTP, of a lab as it is started: all series are there from the
// beginning. 5 ms is the bar; the least of them is what it takes where nothing
// else runs.
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
