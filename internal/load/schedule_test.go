package load_test

import (
	"slices"
	"testing"
	"time"

	"gotimeout/internal/load"
	"gotimeout/internal/results"
)

// BenchmarkSchedule sends 2,000 requests a second, to a server that does nothing,
// and measures how much later than due they are sent.
func BenchmarkSchedule(b *testing.B) {
	const warmUp = 500
	lab := noop(b)
	b.ResetTimer()
	all, err := load.SendAll(b.Context(), lab, time.Second/2000, warmUp, b.N, "/")
	if err != nil || len(all) != b.N {
		b.Fatal(len(all), err)
	}
	var late []float64
	for _, r := range all {
		late = append(late, r.Late)
	}
	slices.Sort(late)
	b.ReportMetric(results.Percentile(late, 99), "p99-ms-late")
	within, _ := slices.BinarySearch(late, 5)
	b.ReportMetric(100*float64(within)/float64(b.N), "%-within-5ms")
}
