package receipt_test

import (
	"errors"
	"testing"
	"testing/synctest"

	"gotimeout/internal/receipt"
)

// Each limit refuses with its own error at its own count, and only while what
// it counts goes on.
func TestLimits(t *testing.T) {
	one := receipt.Run{Ops: 1}
	computes := receipt.Run{Ops: 1, Busy: true}
	inFlight := func(*receipt.Receipt) {}
	for name, tc := range map[string]struct {
		limits receipt.Limits
		held   receipt.Run
		hold   func(*receipt.Receipt) // to what the limit counts
		next   receipt.Run
		want   error
		counts receipt.Counts // with two held
		free   func(*receipt.Receipt)
	}{
		"in flight": {receipt.Limits{InFlight: 2, Abandoned: 9, Busy: 9}, one, inFlight, one,
			receipt.ErrInFlight, receipt.Counts{InFlight: 2}, completes},
		"in flight, the op has ended": {receipt.Limits{InFlight: 2, Abandoned: 9, Busy: 9}, one, opEnds, one,
			receipt.ErrInFlight, receipt.Counts{InFlight: 2}, answer(receipt.Completed)},
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
					t.Fatalf("the third: %v, %v; want error %v", next, err, tc.want)
				}
				if next != nil {
					completes(next)
				}
				checkCounts(t, l, tc.counts)
				tc.free(first)
				completes(open(t, l, tc.next)) // now there is room
				tc.free(second)
				checkCounts(t, l, none)
			})
		})
	}
}

// A refused run takes no number and no place.
func TestRefusedLeavesNothing(t *testing.T) {
	l := receipt.NewLedger("lab", 10, receipt.Limits{InFlight: 1, Abandoned: 1, Busy: 1})
	held := open(t, l, receipt.Run{Ops: 1})
	if _, err := l.Open(receipt.Run{Ops: 1}); !errors.Is(err, receipt.ErrInFlight) {
		t.Fatalf("error %v", err)
	}
	if got := ids(l.Last(10)); got != "lab-1" {
		t.Errorf("last %s, want the held one alone", got)
	}
	completes(held)
	if got := open(t, l, receipt.Run{Ops: 1}).ID(); got != "lab-2" {
		t.Errorf("the next is %s, want lab-2", got)
	}
}

// One that is opened again counts even beyond the limit, and new runs wait
// for it.
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
