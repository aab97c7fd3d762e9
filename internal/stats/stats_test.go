package stats_test

import (
	"slices"
	"testing"
	"time"

	"gotimeout/internal/stats"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestMedian(t *testing.T) {
	for _, tc := range []struct {
		values []float64
		want   float64
	}{{[]float64{7}, 7}, {[]float64{9, 1}, 5}, {[]float64{9, 1, 2}, 2}, {[]float64{4, 9, 1, 2}, 3}} {
		before := slices.Clone(tc.values)
		if got := stats.Median(tc.values); got != tc.want {
			t.Errorf("the median of %v is %v, want %v", tc.values, got, tc.want)
		}
		if !slices.Equal(tc.values, before) {
			t.Errorf("%v became %v", before, tc.values)
		}
	}
	if got := stats.Median([]time.Duration{time.Hour, time.Second, 0}); got != time.Second {
		t.Errorf("the median of durations is %v, want 1s", got)
	}
}

func TestPercentile(t *testing.T) {
	hundred := make([]float64, 100)
	for i := range hundred {
		hundred[i] = float64(i + 1)
	}
	for _, test := range []struct {
		values  []float64
		p, want float64
	}{
		{[]float64{7}, 0, 7}, {[]float64{7}, 50, 7}, {[]float64{7}, 100, 7},
		{[]float64{1, 2}, 50, 1}, {[]float64{1, 2}, 51, 2},
		{hundred, 1, 1}, {hundred, 50, 50}, {hundred, 99, 99}, {hundred, 99.1, 100}, {hundred, 100, 100},
	} {
		if got := stats.Percentile(test.values, test.p); got != test.want {
			t.Errorf("percentile %v of %d values is %v, want %v", test.p, len(test.values), got, test.want)
		}
	}
}
