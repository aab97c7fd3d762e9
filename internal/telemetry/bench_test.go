package telemetry_test

import (
	"context"
	"testing"
	"time"

	"gotimeout/internal/machine"
	"gotimeout/internal/receipt"
	"gotimeout/internal/telemetry"
)

func nop(context.Context) error { return nil }

// A scrape with every series there is may take 5 ms. The least of them is what
// it takes where nothing else runs.
func BenchmarkScrape(b *testing.B) {
	m := telemetry.NewMetrics(lab)
	fill(m, 1000)
	for name, accept := range map[string]string{"text": "text/plain", "protobuf": protobuf} {
		b.Run(name, func(b *testing.B) {
			least, before := time.Hour, machine.Used().ProcessorTime
			for b.Loop() {
				start := time.Now()
				b.SetBytes(int64(scrape(m, accept).Body.Len()))
				least = min(least, time.Since(start))
			}
			used := machine.Used().ProcessorTime - before
			b.ReportMetric(used.Seconds()*1000/float64(b.N), "cpu-ms/op")
			b.ReportMetric(least.Seconds()*1000, "least-ms")
		})
	}
}

// What a run's metrics cost beside its record.
func BenchmarkRun(b *testing.B) {
	for name, watcher := range map[string]receipt.Watcher{"without": nil, "with": telemetry.NewMetrics(lab)} {
		b.Run(name, func(b *testing.B) {
			l := receipt.NewLedger("lab", 10_000, receipt.Limits{InFlight: 1000, Abandoned: 1000, Busy: 1000})
			l.Watcher = watcher
			b.ReportAllocs()
			for b.Loop() {
				r, _ := l.Open(receipt.Run{Name: "errgroup", Slow: "db", Ops: 1, Backends: 1, Seen: true})
				r.BackendBegan()
				r.BackendEnded()
				_ = r.Wrap(nop)(context.Background())
				r.Answered(receipt.TimedOut, nil)
			}
		})
	}
}
