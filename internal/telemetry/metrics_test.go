package telemetry_test

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"gotimeout/internal/machine"
	"gotimeout/internal/receipt"
	"gotimeout/internal/telemetry"
)

func newMetrics() *telemetry.Metrics {
	return telemetry.NewMetrics(telemetry.Lab{
		Strategies: []string{"baseline", "goroutine-abandon", "context-cancel", "timer-panic", "errgroup", "io-timeout"},
		Ops:        []string{"http", "cache", "db", "cpu", "all"},
		Counts:     func() receipt.Counts { return receipt.Counts{InFlight: 3} },
	})
}

func BenchmarkScrape(b *testing.B) {
	m := newMetrics()
	for _, s := range []string{"baseline", "goroutine-abandon", "context-cancel", "timer-panic", "errgroup", "io-timeout"} {
		for _, o := range []string{"http", "cache", "db", "cpu", "all"} {
			for i := range 1000 {
				d := time.Duration(i) * time.Millisecond
				run := &receipt.Run{Name: s, Slow: o, Timeout: d}
				k := receipt.Figure{Known: true, Time: d}
				m.Answered(run, receipt.Figures{Status: receipt.TimedOut, Answered: d, Overshoot: k})
				m.Completed(run, receipt.Figures{Straggle: k, Waste: k})
			}
		}
	}
	h := m.Handler()
	for name, header := range map[string]string{"text": "text/plain", "protobuf": "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited"} {
		b.Run(name, func(b *testing.B) {
			least, before := time.Hour, machine.Used().ProcessorTime
			for b.Loop() {
				start := time.Now()
				r := httptest.NewRequest(http.MethodGet, "/metrics", nil)
				r.Header.Set("Accept", header)
				w := httptest.NewRecorder()
				h.ServeHTTP(w, r)
				least = min(least, time.Since(start))
				b.ReportMetric(float64(w.Body.Len()), "B")
			}
			b.ReportMetric(float64((machine.Used().ProcessorTime-before).Microseconds())/float64(b.N), "cpu-µs/op")
			b.ReportMetric(float64(least.Microseconds()), "least-µs")
		})
	}
}
