package receipt_test

import (
	"context"
	"runtime"
	"testing"

	"gotimeout/internal/receipt"
)

// bar is how many bytes the record of a request may cost.
const bar = 2 << 10

// record is what a request does with its receipt.
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
