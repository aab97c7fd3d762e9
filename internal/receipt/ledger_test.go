package receipt_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"gotimeout/internal/receipt"
)

func ids(rs []*receipt.Receipt) string {
	var words []string
	for _, r := range rs {
		words = append(words, r.ID())
	}
	return strings.Join(words, " ")
}

// fill returns a ledger that holds three receipts and has had n complete runs.
func fill(t *testing.T, n int) *receipt.Ledger {
	t.Helper()
	l := receipt.NewLedger("lab", 3, roomy)
	for range n {
		completes(open(t, l, receipt.Run{Ops: 1}))
	}
	return l
}

func TestGet(t *testing.T) {
	l := fill(t, 5)
	for id, there := range map[string]bool{
		"lab-3": true, "lab-4": true, "lab-5": true,
		"lab-1": false, "lab-2": false, // no longer held
		"lab-0": false, "lab-6": false, "lab-8": false, // never given out
		"": false, "-": false, "lab": false, "lab-": false, "5": false, "-5": false,
		"other-5": false, "LAB-5": false, "lab5": false, "xlab-5": false,
		"lab-05": false, "lab-+5": false, "lab--5": false, "lab-5 ": false, "lab-5-5": false, "lab-5x": false, "lab-0x5": false,
		"lab-18446744073709551615": false, "lab-18446744073709551621": false, // the latter is 5 modulo 2⁶⁴
	} {
		r := l.Get(id)
		if (r != nil) != there || there && r.ID() != id {
			t.Errorf("Get(%q) = %v", id, r)
		}
	}
	if r := fill(t, 0).Get("lab-0"); r != nil {
		t.Errorf("an empty ledger has %v", r)
	}
}

func TestLast(t *testing.T) {
	for runs, want := range map[int]map[int]string{
		0: {-1: "", 0: "", 3: ""},
		2: {0: "", 1: "lab-2", 2: "lab-2 lab-1", 3: "lab-2 lab-1", 1 << 40: "lab-2 lab-1"},
		3: {3: "lab-3 lab-2 lab-1"},
		7: {-1: "", 0: "", 1: "lab-7", 2: "lab-7 lab-6", 3: "lab-7 lab-6 lab-5", 4: "lab-7 lab-6 lab-5"},
	} {
		l := fill(t, runs)
		for n, want := range want {
			if got := ids(l.Last(n)); got != want {
				t.Errorf("after %d runs, the last %d are %q, want %q", runs, n, got, want)
			}
		}
		if l.Size() != 3 || l.Limits() != roomy {
			t.Errorf("size %d, limits %+v; want 3, %+v", l.Size(), l.Limits(), roomy)
		}
		if newest := ids(l.Last(1)); l.LastID() != newest {
			t.Errorf("after %d runs, the last is %q, want %q", runs, l.LastID(), newest)
		}
	}
}

func TestAfter(t *testing.T) {
	l := fill(t, 7) // of which 5, 6 and 7 are kept
	for _, tc := range []struct {
		id   string
		n    int
		want string
		err  error
	}{
		{"lab-4", 3, "lab-5 lab-6 lab-7", nil}, // lab-4 itself is no longer held
		{"lab-4", 1 << 40, "lab-5 lab-6 lab-7", nil},
		{"lab-4", 1, "lab-5", nil},
		{"lab-4", 0, "", nil},
		{"lab-4", -1, "", nil},
		{"lab-6", 2, "lab-7", nil},
		{"lab-7", 2, "", nil},
		{"lab-3", 1, "", receipt.ErrGone},
		{"lab-1", 1, "", receipt.ErrGone},
		{"lab-0", 1, "", receipt.ErrUnknown},
		{"lab-8", 1, "", receipt.ErrUnknown},
		{"lab-06", 1, "", receipt.ErrUnknown},
		{"other-6", 1, "", receipt.ErrUnknown},
		{"lab-18446744073709551615", 1, "", receipt.ErrUnknown},
		{"lab-", 1, "", receipt.ErrUnknown},
		{"6", 1, "", receipt.ErrUnknown},
		{"", 1, "", receipt.ErrUnknown},
	} {
		got, err := l.After(tc.id, tc.n)
		if ids(got) != tc.want || err != tc.err {
			t.Errorf("%d after %q: %q and %v; want %q and %v", tc.n, tc.id, ids(got), err, tc.want, tc.err)
		}
	}
}

// A backend reports by ID, however late. So the ledger finds an open receipt also after
// a newer one took its place. Otherwise the run would stay in the counts for ever.
func TestOpenOutlivesTheRing(t *testing.T) {
	l := receipt.NewLedger("lab", 3, roomy)
	first := open(t, l, receipt.Run{Ops: 1, Backends: 1, Seen: true})
	l.Get("lab-1").BackendBegan()
	completes(first)
	for range 5 {
		completes(open(t, l, receipt.Run{Ops: 1}))
	}
	if got := ids(l.Last(9)); got != "lab-6 lab-5 lab-4" {
		t.Errorf("the last are %s", got)
	}
	if l.Get("lab-1") != first {
		t.Fatal("the open receipt is gone")
	}
	checkCounts(t, l, receipt.Counts{Abandoned: 1})
	first.BackendEnded()
	checkComplete(t, first, true)
	checkCounts(t, l, none)
	if l.Get("lab-1") != nil {
		t.Error("the complete receipt is still there")
	}

	first.BackendBegan() // by a caller that kept the receipt
	if l.Get("lab-1") != first {
		t.Fatal("the reopened receipt is gone")
	}
	l.Get("lab-1").BackendEnded()
	checkCounts(t, l, none)
}

// Runs, reports of backends and readers run at once. The race detector and the counts
// find a fault.
func TestConcurrent(t *testing.T) {
	const runs, parallel = 200, 8
	l := receipt.NewLedger("lab", 20, roomy)
	var all sync.WaitGroup
	for range parallel {
		all.Go(func() {
			for i := range runs {
				r, err := l.Open(receipt.Run{Ops: 2, Backends: 1, Seen: true, Busy: i%2 == 0})
				if err != nil {
					t.Error(err)
					return
				}
				var parts sync.WaitGroup
				parts.Go(func() { _ = r.Wrap(nothing)(context.Background()) })
				parts.Go(func() { _ = r.Wrap(nothing)(context.Background()) })
				parts.Go(func() { r.BackendBegan(); r.ConnDialed(); r.BackendEnded() })
				parts.Go(func() { r.Answered(receipt.Completed, nil) })
				parts.Go(func() { _, _, _, _ = l.Last(5), l.Get(r.ID()), r.View(), l.Counts() })
				r.Wait(t.Context())
				parts.Wait()
				if v := r.View(); !v.Complete || v.BackendEnded == nil || v.Connections.Dialed != 1 {
					t.Errorf("%+v", v)
				}
			}
		})
	}
	all.Wait()
	checkCounts(t, l, none)
	if got, want := l.Last(1)[0].ID(), fmt.Sprintf("lab-%d", runs*parallel); got != want {
		t.Errorf("the last is %s, want %s: each run has a number of its own", got, want)
	}
}

func ExampleLedger() {
	l := receipt.NewLedger("lab", 100, receipt.Limits{InFlight: 10, Abandoned: 10, Busy: 1})
	r, err := l.Open(receipt.Run{Name: "goroutine-abandon", Ops: 1})
	if err != nil {
		fmt.Println(err)
		return
	}
	op := r.Wrap(func(context.Context) error { return nil })
	r.Answered(receipt.TimedOut, nil) // the caller gives up …
	fmt.Println(r.View().Goroutines, "left behind, complete:", l.Get(r.ID()).View().Complete)
	_ = op(context.Background()) // … and later the op returns
	fmt.Println("straggle is known:", r.View().Straggle != nil, "complete:", r.View().Complete)
	// Output:
	// 1 left behind, complete: false
	// straggle is known: true complete: true
}

// Each limit has its own count and its own error. It refuses runs only while the work that
// it counts goes on.
func TestLimits(t *testing.T) {
	one := receipt.Run{Ops: 1}
	computes := receipt.Run{Ops: 1, Busy: true}
	dials := receipt.Run{Ops: 1, Descriptors: 2}
	room := receipt.Limits{InFlight: 9, Abandoned: 9, Busy: 9, Descriptors: 5}
	inFlight := func(*receipt.Receipt) {}
	for name, tc := range map[string]struct {
		limits receipt.Limits
		held   receipt.Run
		hold   func(*receipt.Receipt) // brings a run into the state that the limit counts
		next   receipt.Run
		want   error
		counts receipt.Counts // with two runs held
		free   func(*receipt.Receipt)
	}{
		"in flight": {receipt.Limits{InFlight: 2, Abandoned: 9, Busy: 9}, one, inFlight, one,
			receipt.ErrInFlight, receipt.Counts{InFlight: 2}, completes},
		"in flight, the op has ended": {receipt.Limits{InFlight: 2, Abandoned: 9, Busy: 9}, one, opEnds, one,
			receipt.ErrInFlight, receipt.Counts{InFlight: 2}, answer(receipt.Completed)},
		"left behind": {receipt.Limits{InFlight: 9, Abandoned: 2, Busy: 9}, one, answer(receipt.TimedOut), one,
			receipt.ErrAbandoned, receipt.Counts{Abandoned: 2}, opEnds},
		"left behind are jobs, whose runs would end them": {receipt.Limits{InFlight: 9, Abandoned: 2, Busy: 9}, one, answer(receipt.Accepted), receipt.Run{Ops: 1, Job: "lab-1"},
			nil, receipt.Counts{Abandoned: 2}, opEnds},
		"answered is not in flight": {receipt.Limits{InFlight: 2, Abandoned: 9, Busy: 9}, one, answer(receipt.TimedOut), one,
			nil, receipt.Counts{Abandoned: 2}, opEnds},
		"abandoned": {receipt.Limits{InFlight: 9, Abandoned: 2, Busy: 9}, one, answer(receipt.TimedOut), one,
			receipt.ErrAbandoned, receipt.Counts{Abandoned: 2}, opEnds},
		"busy in flight": {receipt.Limits{InFlight: 9, Abandoned: 9, Busy: 2}, computes, inFlight, computes,
			receipt.ErrBusy, receipt.Counts{InFlight: 2, Busy: 2}, completes},
		"busy when answered": {receipt.Limits{InFlight: 9, Abandoned: 9, Busy: 2}, computes, answer(receipt.TimedOut), computes,
			receipt.ErrBusy, receipt.Counts{Abandoned: 2, Busy: 2}, opEnds},
		"busy, for one that is not": {receipt.Limits{InFlight: 9, Abandoned: 9, Busy: 2}, computes, inFlight, one,
			nil, receipt.Counts{InFlight: 2, Busy: 2}, completes},
		"descriptors in flight": {room, dials, inFlight, dials,
			receipt.ErrDescriptors, receipt.Counts{InFlight: 2, Descriptors: 4}, completes},
		"descriptors when answered": {room, dials, answer(receipt.TimedOut), dials,
			receipt.ErrDescriptors, receipt.Counts{Abandoned: 2, Descriptors: 4}, opEnds},
		"descriptors, for a run without": {room, dials, inFlight, one,
			nil, receipt.Counts{InFlight: 2, Descriptors: 4}, completes},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := receipt.NewLedger("lab", 10, tc.limits)
				first, second := open(t, l, tc.held), open(t, l, tc.held)
				tc.hold(first)
				tc.hold(second)
				checkCounts(t, l, tc.counts)
				next, err := l.Open(tc.next)
				if !errors.Is(err, tc.want) || (next == nil) != (tc.want != nil) {
					t.Fatalf("the third run: %v, %v; want error %v", next, err, tc.want)
				}
				if next != nil {
					completes(next)
				}
				checkCounts(t, l, tc.counts)
				tc.free(first)
				completes(open(t, l, tc.next)) // the limit accepts a run again
				tc.free(second)
				checkCounts(t, l, none)
			})
		})
	}
}

// A refused run gets no ID and no place in the ledger.
func TestRefusedLeavesNothing(t *testing.T) {
	l := receipt.NewLedger("lab", 10, receipt.Limits{InFlight: 1, Abandoned: 1, Busy: 1})
	held := open(t, l, receipt.Run{Ops: 1})
	if _, err := l.Open(receipt.Run{Ops: 1}); !errors.Is(err, receipt.ErrInFlight) {
		t.Fatalf("error %v", err)
	}
	if got := ids(l.Last(10)); got != "lab-1" {
		t.Errorf("the last are %s, want the held run alone", got)
	}
	completes(held)
	if got := open(t, l, receipt.Run{Ops: 1}).ID(); got != "lab-2" {
		t.Errorf("the next run is %s, want lab-2", got)
	}
}

// A receipt that is opened again counts even beyond the limit, and new runs are refused
// until it is complete.
func TestReopenedBeyondTheLimit(t *testing.T) {
	l := receipt.NewLedger("lab", 10, receipt.Limits{InFlight: 9, Abandoned: 1, Busy: 1})
	first := open(t, l, receipt.Run{Ops: 1, Busy: true})
	completes(first)
	second := open(t, l, receipt.Run{Ops: 1, Busy: true})
	second.Answered(receipt.TimedOut, nil)
	first.BackendBegan()
	checkCounts(t, l, receipt.Counts{Abandoned: 2, Busy: 2})
	opEnds(second)
	if _, err := l.Open(receipt.Run{Ops: 1}); !errors.Is(err, receipt.ErrAbandoned) {
		t.Errorf("error %v, want ErrAbandoned", err)
	}
	first.BackendEnded()
	checkCounts(t, l, none)
}
