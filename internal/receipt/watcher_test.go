package receipt_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"gotimeout/internal/receipt"
)

// told is a watcher that keeps what it is told.
type told struct{ words []string }

func (w *told) Refused(r *receipt.Run) { w.words = append(w.words, r.Name+" refused") }
func (w *told) Answered(r *receipt.Run, f receipt.Figures) {
	w.words = append(w.words, fmt.Sprint(r.Name, " ", f.Status, " ", f.Answered, " ", spell(f.Overshoot)))
}
func (w *told) Completed(r *receipt.Run, f receipt.Figures) {
	w.words = append(w.words, fmt.Sprint(r.Name, " straggle ", spell(f.Straggle), " waste ", spell(f.Waste)))
}

func spell(f receipt.Figure) string {
	if !f.Known {
		return "-"
	}
	return f.Time.String()
}

func (w *told) check(t *testing.T, want ...string) {
	t.Helper()
	if !slices.Equal(w.words, want) {
		t.Errorf("told\n%q, want\n%q", w.words, want)
	}
}

// A watcher hears of the answer at once, and of the rest when it is known.
func TestWatcher(t *testing.T) {
	bubble(t, func(t *testing.T, l *receipt.Ledger) {
		var w told
		l.Watcher = &w
		run := with(seen, func(r *receipt.Run) { r.Name, r.Timeout = "abandon", hour })
		r := play(t, l, run, step{0, began}, step{hour + time.Minute, answer(receipt.TimedOut)})
		w.check(t, "abandon timed_out 1h1m0s 1m0s")
		time.Sleep(hour - time.Minute)
		opEnds(r)
		w.check(t, "abandon timed_out 1h1m0s 1m0s")
		time.Sleep(hour)
		ended(r)
		w.check(t, "abandon timed_out 1h1m0s 1m0s", "abandon straggle 59m0s waste 1h59m0s")
		if got, want := r.Overshoot(), (receipt.Figure{Known: true, Time: time.Minute}); got != want {
			t.Errorf("overshoot %v, want %v", got, want)
		}
	})
}

// What a backend does that nobody sees is not told.
func TestWatcherOfWhatNobodySees(t *testing.T) {
	bubble(t, func(t *testing.T, l *receipt.Ledger) {
		var w told
		l.Watcher = &w
		play(t, l, receipt.Run{Name: "blind", Ops: 1}, step{hour, completes})
		w.check(t, "blind completed 1h0m0s -", "blind straggle 0s waste -")
	})
}

// A receipt that a late backend opens again tells each figure once: the waste
// when it is first known, and never a second one.
func TestWatcherOfReopened(t *testing.T) {
	bubble(t, func(t *testing.T, l *receipt.Ledger) {
		var w told
		l.Watcher = &w
		var own []string
		r := open(t, l, with(seen, func(r *receipt.Run) { r.Name = "late" }))
		r.OnComplete(func(f receipt.Figures) { own = append(own, spell(f.Straggle)+" "+spell(f.Waste)) })
		time.Sleep(hour)
		opEnds(r)
		r.Answered(receipt.Failed, nil)
		r.Wait(t.Context())
		for range 2 {
			time.Sleep(hour - 2*settling)
			r.BackendBegan()
			time.Sleep(settling)
			r.BackendEnded()
		}
		w.check(t, "late failed 1h0m0s 0s", "late straggle 0s waste -", "late straggle - waste 1h0m0s", "late straggle - waste -")
		if want := []string{"0s -", "- 1h0m0s", "- -"}; !slices.Equal(own, want) {
			t.Errorf("the receipt's own was told %q, want %q", own, want)
		}
	})
}

func TestWatcherOfRefused(t *testing.T) {
	var w told
	l := receipt.NewLedger("lab", 10, receipt.Limits{InFlight: 1, Abandoned: 1, Busy: 1})
	l.Watcher = &w
	open(t, l, receipt.Run{Name: "first"})
	if _, err := l.Open(receipt.Run{Name: "second"}); err == nil {
		t.Error("a second one in flight is not refused")
	}
	w.check(t, "second refused")
}
