package receipt_test

import (
	"testing"
	"testing/synctest"
	"time"

	"gotimeout/internal/receipt"
)

// settling is how long a receipt waits for a backend that has not begun.
const settling = 25 * time.Millisecond

// A receipt is complete when the answer is there and the last op and the last
// backend have ended, or when those that did not begin have had their time.
func TestCompleteAt(t *testing.T) {
	three := receipt.Run{Ops: 3, Backends: 3, Seen: true}
	for name, tc := range map[string]struct {
		run   receipt.Run
		steps []step
		want  time.Duration
	}{
		"at the answer":       {seen, []step{{0, began}, {1, ended}, {2, opEnds}, {hour, answer(receipt.Completed)}}, hour},
		"with the op":         {seen, []step{{0, began}, {1, ended}, {hour, answer(receipt.TimedOut)}, {work, opEnds}}, work},
		"with the backend":    {seen, []step{{0, began}, {hour, answer(receipt.TimedOut)}, {hour, opEnds}, {work, ended}}, work},
		"with a lost backend": {seen, []step{{0, began}, {hour, answer(receipt.TimedOut)}, {hour, opEnds}, {work, lost}}, work},
		"no backend reports":  {receipt.Run{Ops: 1}, []step{{hour, opEnds}, {hour, answer(receipt.TimedOut)}}, hour},
		"never began":         {seen, []step{{hour, opEnds}, {hour, answer(receipt.TimedOut)}}, hour + settling},
		"never began, deaf":   {seen, []step{{hour, answer(receipt.TimedOut)}, {work, opEnds}}, work + settling},
		"began in time": {seen,
			[]step{{hour, opEnds}, {hour, answer(receipt.TimedOut)}, {hour + settling - 1, began}, {work, ended}}, work},
		"began and ended in time": {seen,
			[]step{{hour, opEnds}, {hour, answer(receipt.TimedOut)}, {hour + 1, began}, {hour + 2, ended}}, hour + 2},
		"the last op of three": {three,
			[]step{{0, began}, {0, began}, {0, began}, {1, ended}, {1, ended}, {1, ended},
				{1, opEnds}, {2, opEnds}, {hour, answer(receipt.TimedOut)}, {work, opEnds}}, work},
		"the last backend of three": {three,
			[]step{{0, began}, {0, began}, {0, began}, {1, opEnds}, {1, opEnds}, {1, opEnds},
				{1, ended}, {hour, answer(receipt.TimedOut)}, {2 * hour, ended}, {work, ended}}, work},
		"the third never began": {three,
			[]step{{0, began}, {0, began}, {1, opEnds}, {1, opEnds}, {1, opEnds},
				{hour, answer(receipt.TimedOut)}, {2 * hour, ended}, {work, ended}}, work + settling},
		"the third began while settling": {three,
			[]step{{0, began}, {0, began}, {1, ended}, {1, ended}, {1, opEnds}, {1, opEnds}, {1, opEnds},
				{hour, answer(receipt.TimedOut)}, {hour + 20*time.Millisecond, began}, {work, ended}}, work},
		"one settling for all": {three,
			[]step{{0, began}, {1, ended}, {1, opEnds}, {1, opEnds}, {1, opEnds}, {hour, answer(receipt.TimedOut)},
				{hour + 10*time.Millisecond, began}, {hour + 20*time.Millisecond, ended}}, hour + settling},
		"more began than were announced": {seen,
			[]step{{0, began}, {0, began}, {1, ended}, {hour, opEnds}, {hour, answer(receipt.TimedOut)}, {work, ended}}, work},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, l *receipt.Ledger) {
				start := time.Now()
				played := make(chan *receipt.Receipt)
				go func() { played <- play(t, l, tc.run, tc.steps...) }()
				synctest.Wait() // until it is open
				l.Get("lab-1").Wait(t.Context())
				if got := time.Since(start); got != tc.want {
					t.Errorf("complete at %v, want %v", got, tc.want)
				}
				time.Sleep(hour) // in which nothing may complete it again
				checkComplete(t, <-played, true)
				checkCounts(t, l, none)
			})
		})
	}
}

// A request that was on its way arrives at a backend after the receipt was
// complete: it is open again, and the figures are those of the late one.
func TestLateBackendReopens(t *testing.T) {
	bubble(t, func(t *testing.T, l *receipt.Ledger) {
		run := with(seen, func(r *receipt.Run) { r.Busy = true })
		r := play(t, l, run, step{hour, opEnds}, step{hour, answer(receipt.TimedOut)})
		r.Wait(t.Context())
		checkComplete(t, r, true)
		checkCounts(t, l, none)

		time.Sleep(hour - settling)
		r.BackendBegan()
		checkComplete(t, r, false)
		checkCounts(t, l, receipt.Counts{Abandoned: 1, Busy: 1})
		if got := figures(r.View()); got != "3600000 0 3600000 0 - -" {
			t.Errorf("figures %s while the late backend works", got)
		}

		time.AfterFunc(hour, r.BackendEnded)
		r.Wait(t.Context())
		checkComplete(t, r, true)
		checkCounts(t, l, none)
		if got := figures(r.View()); got != "3600000 0 3600000 0 10800000 7200000" {
			t.Errorf("figures %s, want a backend that ended at 3h", got)
		}
	})
}

// Each time a receipt is opened again it is counted again, and no more.
func TestReopensOftenAndTwiceAtOnce(t *testing.T) {
	bubble(t, func(t *testing.T, l *receipt.Ledger) {
		r := play(t, l, receipt.Run{Ops: 1, Seen: true}, step{hour, completes})
		for i := range 3 {
			r.BackendBegan()
			r.BackendBegan()
			checkCounts(t, l, receipt.Counts{Abandoned: 1})
			r.BackendEnded()
			checkComplete(t, r, false)
			r.BackendEnded()
			checkComplete(t, r, true)
			checkCounts(t, l, none)
			if t.Failed() {
				t.Fatalf("in round %d", i)
			}
		}
	})
}

// An op that panics has ended too.
func TestWrapCountsAPanic(t *testing.T) {
	bubble(t, func(t *testing.T, l *receipt.Ledger) {
		r := open(t, l, receipt.Run{Ops: 1})
		r.Answered(receipt.TimedOut, nil)
		func() {
			defer func() {
				if v := recover(); v != "boom" {
					t.Errorf("panic %v, want the op's own to go on", v)
				}
			}()
			_ = r.Wrap(panics)(t.Context())
		}()
		checkComplete(t, r, true)
		checkCounts(t, l, none)
	})
}
