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

	"gotimeout/handlers"
	"gotimeout/internal/machine"
	"gotimeout/internal/receipt"
	"gotimeout/internal/telemetry"
	"gotimeout/strategies"
)

// What the instruments cost a request: the processor time of the lab, its
// httpbin and the client, for each beside a lab without them. The rounds take
// turns, and the ratio is the median of theirs: a machine that others use as
// well is not the same from one to the next. At most 1.05 is the bar for the
// metrics, which are always on.
//
//	go test -run '^$' -bench Instruments -benchtime 30x ./cmd/gotimeout
func BenchmarkInstruments(b *testing.B) {
	labs := []string{bareLab(b, nil), bareLab(b, metricsOnly), bareLab(b, traced(b, "1")), bareLab(b, traced(b, "0.01"))}
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

// bareLab serves a lab with what instruments gives it, and returns its URL.
func bareLab(b *testing.B, instruments func(*handlers.Lab, *bench)) string {
	on, err := openBench(settings{maxDelay: time.Second, receipts: 1000, limits: receipt.Limits{InFlight: 1000, Abandoned: 1000, Busy: 1000}}, nil)
	if err != nil {
		b.Fatal(err)
	}
	lab := &handlers.Lab{
		Strategies: strategies.All(), Ops: on.ops(), Ledger: on.ledger, MaxDelay: time.Second, MaxTimeout: time.Second,
		Backends: on.health, Log: slog.New(slog.DiscardHandler),
	}
	if instruments != nil {
		instruments(lab, on)
	}
	server := httptest.NewServer(lab.Routes())
	b.Cleanup(func() { server.Close(); on.close() })
	return server.URL
}

func metricsOnly(lab *handlers.Lab, _ *bench) { watch(lab, nil) }

// traced gives a lab metrics, and traces of a share of the requests to a
// collector that takes and forgets them.
func traced(b *testing.B, share string) func(*handlers.Lab, *bench) {
	collector := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) }))
	b.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.URL)
	b.Setenv("OTEL_TRACES_SAMPLER", "parentbased_traceidratio")
	b.Setenv("OTEL_TRACES_SAMPLER_ARG", share)
	to, err := telemetry.ReadCollector(os.Getenv)
	if err != nil {
		b.Fatal(err)
	}
	tracing, err := telemetry.OpenTracing(b.Context(), to, "bench", nil, slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { tracing.Close(); collector.Close() })
	return func(lab *handlers.Lab, _ *bench) { watch(lab, tracing) }
}

// A scrape over HTTP, of a lab as it is started: all series are there from the
// beginning. 5 ms is the bar; the least of them is what it takes where nothing
// else runs.
func BenchmarkScrape(b *testing.B) {
	lab := bareLab(b, func(lab *handlers.Lab, on *bench) {
		lab.Kernel = newKernel(on.parts)
		metricsOnly(lab, on)
	})
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
