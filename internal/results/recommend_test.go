package results_test

import (
	"errors"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"gotimeout/internal/results"
)

// sampleOf is a comparison with a sample and no sweep.
func sampleOf(times ...float64) *results.Results {
	slices.Sort(times)
	return &results.Results{Rows: []*results.Row{{Key: results.Key{Strategy: results.SampleName()}, Took: times}}}
}

func oneTo(n int) []float64 {
	times := make([]float64, n)
	for i := range times {
		times[i] = float64(i + 1)
	}
	return times
}

func recommend(t *testing.T, r *results.Results, share float64) *results.Recommendation {
	t.Helper()
	rec, err := results.Recommend(r, share)
	if err != nil {
		t.Fatal(err)
	}
	return rec
}

// The values are those of R. G. Newcombe, "Two-sided confidence intervals for the
// single proportion", 1998, method 3.
func TestWilson(t *testing.T) {
	for _, test := range []struct {
		count, n  int
		low, high float64
	}{{81, 263, .2553, .3662}, {15, 148, .0624, .1605}, {0, 20, 0, .1611}, {1, 29, .0061, .1718}, {29, 29, .8830, 1}, {0, 0, 0, 1}} {
		low, high := results.Wilson(test.count, test.n)
		if math.Abs(low-test.low) > 5e-5 || math.Abs(high-test.high) > 5e-5 {
			t.Errorf("%d of %d: %.4f to %.4f, want %.4f to %.4f", test.count, test.n, low, high, test.low, test.high)
		}
	}
}

// Tells returns about the least number of requests that tell one share from another.
func TestTells(t *testing.T) {
	n := results.Tells(0.02, 0.01)
	for requests, want := range map[int]bool{n + 50 - n%50: true, n - n%50: false} {
		if low, _ := results.Wilson(requests/50, requests); low > 0.01 != want {
			t.Errorf("2%% of %d is over %.3f%%; Tells says %d", requests, 100*low, n)
		}
	}
}

// The ends of the interval are the ranks in the tables of the binomial distribution,
// here for the median.
func TestInterval(t *testing.T) {
	for n, want := range map[int][2]float64{10: {2, 9}, 20: {6, 15}, 100: {40, 61}} {
		rec := recommend(t, sampleOf(oneTo(n)...), 0.5)
		if rec.High == nil || rec.Low != want[0] || *rec.High != want[1] || rec.Timeout != float64(n/2) {
			t.Errorf("%d requests: %v, %v to %v, want %v", n, rec.Timeout, rec.Low, text(rec.High), want)
		}
	}
}

// A sample of the least size has an interval with an upper end, and a smaller one has not.
func TestSampleSize(t *testing.T) {
	for share, want := range map[float64]int{0.5: 6, 0.01: 368, 0.001: 3688, 0.0001: 36887} {
		n := results.SampleSize(share)
		enough := recommend(t, sampleOf(oneTo(n)...), share)
		few := recommend(t, sampleOf(oneTo(n-1)...), share)
		if n != want || enough.High == nil || few.High != nil {
			t.Errorf("%v: %d, want %d; the upper ends are %v, and %v with one request less", share, n, want, text(enough.High), text(few.High))
		}
	}
}

// In 95% of the samples or a little more the interval contains the true timeout.
func TestIntervalCovers(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for _, share := range []float64{0.01, 0.1, 0.5} {
		const samples, scale = 2000, 1e6 // so large that rounding to whole milliseconds doesn't matter
		truth, covered := -math.Log(share)*scale, 0
		for range samples {
			times := make([]float64, 600)
			for i := range times {
				times[i] = random.ExpFloat64() * scale
			}
			if rec := recommend(t, sampleOf(times...), share); rec.Low <= truth && truth <= *rec.High {
				covered++
			}
		}
		if part := float64(covered) / samples; part < 0.94 || part > 0.98 {
			t.Errorf("%v: %.1f%% of the intervals contain the true timeout", share, 100*part)
		}
	}
}

// swept returns the records of a strategy at one timeout: 1,000 requests, some of them cut.
func swept(number int, strategy string, timeout float64, cut int) []any {
	c := &results.Cell{Type: results.TypeCell, Cell: number, Strategy: strategy, Op: "http", Ctx: "aware", Network: "3g", Timeout: timeout, Delays: []float64{50}, Repeat: 1}
	all := []any{c}
	for i := range 1000 {
		status, answered := "completed", float64(i+1)
		if i >= 1000-cut {
			status, answered = "timed_out", timeout+1
		}
		waste := answered / 100
		all = append(all,
			&results.Request{Type: results.TypeRequest, Cell: number, Phase: results.Load, Answered: answered + 7, Delay: 50, Status: status},
			&results.Receipt{Type: results.TypeReceipt, Cell: number, Phase: results.Load, Answered: answered, Delay: 50, Status: status, Started: float64(i), Waste: &waste, Dialed: i % 2})
	}
	return append(all, &results.End{Type: results.TypeEnd, Cell: number})
}

// A recommendation has the sample by the lab's clock and the sweep in the order of its
// timeouts, and uses no records of another op.
func TestRecommend(t *testing.T) {
	records := []any{aRun()}
	for i, of := range []struct {
		strategy string
		timeout  float64
		cut      int
	}{
		{results.SampleName(), 30_000, 0},
		{"reaching", 990, 10}, {"missing", 990, 100}, {"unclear", 990, 13}, {"deaf", 990, 0},
		{"missing", 1200, 11}, {"reaching", 500, 500}, {"missing", 1980, 10}, {"deaf", 500, 0}, {"missing", 500, 5},
	} {
		records = append(records, swept(i+1, of.strategy, of.timeout, of.cut)...)
	}
	other := swept(20, "other", 990, 500)
	other[0].(*results.Cell).Op = "db"
	r := collect(t, append(records, other...)...)
	rec := recommend(t, r, 0.01)
	if rec.Timeout != 990 || rec.Low != 983 || *rec.High != 997 {
		t.Errorf("%v, %v to %v", rec.Timeout, rec.Low, text(rec.High))
	}
	if got, want := rec.Timeouts(), []float64{250, 900, 990, 997, 1980}; !reflect.DeepEqual(got, want) {
		t.Errorf("timeouts %v, want %v", got, want)
	}
	if n := len(rec.Sweep); n != 9 || rec.Sweep[0].Timeout != 500 || rec.Sweep[n-1].Timeout != 1980 {
		t.Errorf("swept %+v", rec.Sweep)
	}
	want := map[string]results.Verdict{
		"reaching": {Outcome: results.Reaches, Longest: 990}, "missing": {Outcome: results.Misses, Longest: 1980},
		"unclear": {Outcome: results.Unclear, Needs: 4226, Longest: 990}, "deaf": {Outcome: results.Reaches, Unbound: true, Longest: 990},
	}
	reached := map[string]float64{"reaching": 990, "missing": 1980, "deaf": 990}
	for _, v := range rec.Verdict {
		w := want[v.At.Strategy]
		at := 0.0
		if v.From != nil {
			at = v.From.Timeout
		}
		if w.At, w.From = v.At, v.From; !reflect.DeepEqual(v, w) || at != reached[v.At.Strategy] {
			t.Errorf("%+v reaches the share at %v, want %+v at %v", v, at, w, reached[v.At.Strategy])
		}
	}
	if at := rec.Verdict[1].At; len(rec.Verdict) != 4 || at.Share != 0.1 || at.Dials != 500 || at.Held != 99.8 || at.Requests != 1000 {
		t.Errorf("%d verdicts; %+v", len(rec.Verdict), at)
	}
}

// The timeouts of a sweep are whole milliseconds without repeats. One is short enough to cut
// nearly every call, and one long enough for a handshake too.
func TestTimeouts(t *testing.T) {
	r := sampleOf(0, 0.2, 0.3, 1.2, 1.3, 1.4, 1.5, 1.6, 1.7, 1.8)
	r.Rows[0].RoundTrip = known(3.5)
	if got, want := recommend(t, r, 0.5).Timeouts(), []float64{1, 2, 4, 6}; !reflect.DeepEqual(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	if got := recommend(t, sampleOf(0), 0.5); got.Timeout != 1 || got.High != nil {
		t.Errorf("%+v", got)
	}
}

func TestShareOver(t *testing.T) {
	times := []float64{1, 2, 2, 3}
	for timeout, want := range map[float64]float64{0: 1, 1: 0.75, 2: 0.25, 2.5: 0.25, 3: 0} {
		if got := results.ShareOver(times, timeout); got != want {
			t.Errorf("%v: %v, want %v", timeout, got, want)
		}
	}
}

// A sample in which no call completed gives no recommendation.
func TestNoSample(t *testing.T) {
	failed := sampleOf()
	floor := sampleOf(1, 2)
	floor.Rows[0].Floor = true
	for name, r := range map[string]*results.Results{"nothing": {}, "a sample that failed": failed, "a floor": floor} {
		if _, err := results.Recommend(r, 0.01); !errors.Is(err, results.ErrNoSample) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A drift of the sample shows in its first and last quarter, in the order of time.
func TestQuarters(t *testing.T) {
	records := []any{aRun()}
	cell := swept(1, results.SampleName(), 30_000, 0)
	slices.Reverse(cell[1 : len(cell)-1])
	row := collect(t, append(records, cell...)...).Rows[0]
	if row.TookFirst == nil || *row.TookFirst != 125.5 || *row.TookLast != 875.5 {
		t.Errorf("%v and %v", text(row.TookFirst), text(row.TookLast))
	}
}

// A lab that died during the sweep has lost its receipts, so the requests' own delays
// count.
func TestRecommendOfALabGone(t *testing.T) {
	records := append([]any{aRun()}, swept(1, results.SampleName(), 250, 0)...)
	for _, record := range swept(2, "errgroup", 30, 10) {
		if _, lost := record.(*results.Receipt); !lost {
			records = append(records, record)
		}
	}
	rec, err := results.Recommend(collect(t, records...), 0.1)
	if err != nil || len(rec.Sweep) != 1 || rec.Sweep[0].Requests != 1000 || rec.Sweep[0].Dials != 0 {
		t.Errorf("%+v, %v", rec, err)
	}
}

// A strategy that missed the share in the sweep is tried again: between its last miss and
// its first hit, or at longer timeouts up to the longest.
func TestNext(t *testing.T) {
	type at struct {
		timeout float64
		cut     int // of 1,000 requests
	}
	for name, test := range map[string]struct {
		tried []at
		want  float64 // the next timeout; 0 is none
	}{
		"reached at once":        {[]at{{500, 200}, {990, 10}, {1980, 0}}, 0},
		"between":                {[]at{{990, 100}, {1980, 10}}, 1401},
		"near enough":            {[]at{{990, 100}, {1080, 10}}, 0},
		"between the last miss":  {[]at{{990, 100}, {1401, 50}, {1980, 10}}, 1666},
		"none yet":               {[]at{{990, 100}, {1980, 50}}, 3960},
		"up to the longest":      {[]at{{990, 100}, {9000, 50}}, 10000},
		"not beyond the longest": {[]at{{990, 100}, {10000, 50}}, 0},
	} {
		records := append([]any{aRun()}, swept(1, results.SampleName(), 30_000, 0)...)
		for i, tried := range test.tried {
			records = append(records, swept(i+2, "one", tried.timeout, tried.cut)...)
		}
		timeout, more := recommend(t, collect(t, records...), 0.01).Next("one", 10_000)
		if !more {
			timeout = 0
		}
		if timeout != test.want {
			t.Errorf("%s: %v, want %v", name, timeout, test.want)
		}
	}
}
