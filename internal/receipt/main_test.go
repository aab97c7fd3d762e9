package receipt_test

import (
	"context"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gotimeout/internal/receipt"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	roomy = receipt.Limits{InFlight: 1000, Abandoned: 1000, Busy: 1000}
	none  receipt.Counts
)

// step is an event of a run, and its time after the start.
type step struct {
	at time.Duration
	do func(*receipt.Receipt)
}

// The events of a run.
var (
	began  = (*receipt.Receipt).BackendBegan
	ended  = (*receipt.Receipt).BackendEnded
	lost   = (*receipt.Receipt).BackendLost
	opEnds = func(r *receipt.Receipt) { _ = r.Wrap(nothing)(context.Background()) }
)

func nothing(context.Context) error { return nil }

func answer(s receipt.Status) func(*receipt.Receipt) {
	return func(r *receipt.Receipt) { r.Answered(s, nil) }
}

// play opens a receipt and calls each step at its time.
func play(t testing.TB, l *receipt.Ledger, run receipt.Run, steps ...step) *receipt.Receipt {
	t.Helper()
	r := open(t, l, run)
	start := time.Now()
	for _, s := range steps {
		time.Sleep(s.at - time.Since(start))
		s.do(r)
	}
	return r
}

func open(t testing.TB, l *receipt.Ledger, run receipt.Run) *receipt.Receipt {
	t.Helper()
	r, err := l.Open(run)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// completes lets the op of a run end, and answers the run.
func completes(r *receipt.Receipt) {
	opEnds(r)
	r.Answered(receipt.Completed, nil)
}

// bubble runs a test in a synctest bubble.
func bubble(t *testing.T, test func(t *testing.T, l *receipt.Ledger)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { test(t, receipt.NewLedger("lab", 10, roomy)) })
}

func checkComplete(t *testing.T, r *receipt.Receipt, want bool) {
	t.Helper()
	if got := r.View().Complete; got != want {
		t.Errorf("%s: complete is %t, want %t", r.ID(), got, want)
	}
}

func checkCounts(t *testing.T, l *receipt.Ledger, want receipt.Counts) {
	t.Helper()
	if got := l.Counts(); got != want {
		t.Errorf("counts %+v, want %+v", got, want)
	}
}

// figures writes the six figures of a view, "-" for null.
func figures(v receipt.View) string {
	var words []string
	for _, ms := range []*float64{v.Answered, v.Overshoot, v.Ended, v.Straggle, v.BackendEnded, v.Waste} {
		word := "-"
		if ms != nil {
			word = strconv.FormatFloat(*ms, 'f', -1, 64)
		}
		words = append(words, word)
	}
	return strings.Join(words, " ")
}

// bar is the most bytes that the record of a request may take.
const bar = 2 << 10

// record makes the calls that a request makes on its receipt.
func record(l *receipt.Ledger) {
	r, err := l.Open(receipt.Run{Name: "context-cancel", Ops: 1, Backends: 1, Seen: true})
	if err != nil {
		panic(err)
	}
	op := r.Wrap(nothing)
	r.BackendBegan()
	r.BackendEnded()
	_ = op(context.Background())
	r.Answered(receipt.Completed, nil)
}

func TestRecordIsSmall(t *testing.T) {
	if perRecord := allocated(1000); perRecord > bar {
		t.Errorf("%d B a request, want at most %d", perRecord, bar)
	}
}

// allocated returns the bytes that each of n records takes.
func allocated(n int) uint64 {
	l := receipt.NewLedger("lab", 100, roomy)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range n {
		record(l)
	}
	runtime.ReadMemStats(&after)
	return (after.TotalAlloc - before.TotalAlloc) / uint64(n)
}

func BenchmarkRecord(b *testing.B) {
	l := receipt.NewLedger("lab", 10_000, roomy)
	b.ReportAllocs()
	for b.Loop() {
		record(l)
	}
}

func BenchmarkRecordParallel(b *testing.B) {
	l := receipt.NewLedger("lab", 10_000, roomy)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			record(l)
		}
	})
}
