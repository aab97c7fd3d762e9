package receipt_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"gotimeout/internal/receipt"
)

// recorder is a watcher that records its calls.
type recorder struct{ calls []string }

func (w *recorder) Refused(r *receipt.Run) { w.calls = append(w.calls, r.Name+" refused") }
func (w *recorder) Answered(r *receipt.Run, f receipt.Figures) {
	w.calls = append(w.calls, fmt.Sprint(r.Name, " ", f.Status, " ", f.Answered, " ", spell(f.Overshoot)))
}
func (w *recorder) Completed(r *receipt.Run, f receipt.Figures) {
	w.calls = append(w.calls, fmt.Sprint(r.Name, " straggle ", spell(f.Straggle), " waste ", spell(f.Waste)))
}

func spell(f receipt.Figure) string {
	if !f.Known {
		return "-"
	}
	return f.Time.String()
}

func (w *recorder) check(t *testing.T, want ...string) {
	t.Helper()
	if !slices.Equal(w.calls, want) {
		t.Errorf("called with\n%q, want\n%q", w.calls, want)
	}
}

// A watcher gets the answer at once, and the other figures when they are known.
func TestWatcher(t *testing.T) {
	bubble(t, func(t *testing.T, l *receipt.Ledger) {
		var w recorder
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

// The watcher gets no waste of a backend that can't be seen.
func TestWatcherOfWhatNobodySees(t *testing.T) {
	bubble(t, func(t *testing.T, l *receipt.Ledger) {
		var w recorder
		l.Watcher = &w
		play(t, l, receipt.Run{Name: "blind", Ops: 1}, step{hour, completes})
		w.check(t, "blind completed 1h0m0s -", "blind straggle 0s waste -")
	})
}

// A late backend opens the receipt again. The watcher still gets each figure once: the
// waste when it is first known.
func TestWatcherOfReopened(t *testing.T) {
	bubble(t, func(t *testing.T, l *receipt.Ledger) {
		var w recorder
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
			t.Errorf("OnComplete was called with %q, want %q", own, want)
		}
	})
}

func TestWatcherOfRefused(t *testing.T) {
	var w recorder
	l := receipt.NewLedger("lab", 10, receipt.Limits{InFlight: 1, Abandoned: 1, Busy: 1})
	l.Watcher = &w
	open(t, l, receipt.Run{Name: "first"})
	if _, err := l.Open(receipt.Run{Name: "second"}); err == nil {
		t.Error("a second run in flight is not refused")
	}
	w.check(t, "second refused")
}

// A watcher of a receipt that takes a view after each change misses no change, and its
// last view is complete.
func TestChanged(t *testing.T) {
	bubble(t, func(t *testing.T, l *receipt.Ledger) {
		r := open(t, l, receipt.Run{Timeout: hour, Ops: 1, Backends: 1, Seen: true})
		start := time.Now()
		type sight struct {
			at      time.Duration
			figures string
		}
		sights := make(chan sight, 9)
		go func() {
			defer close(sights)
			for {
				changed := r.Changed()
				v := r.View()
				sights <- sight{time.Since(start), figures(v)}
				if v.Complete {
					return
				}
				<-changed
			}
		}()
		for _, do := range []func(*receipt.Receipt){began, answer(receipt.TimedOut), opEnds, ended} {
			time.Sleep(hour)
			do(r)
		}
		want := []sight{
			{0, "- - - - - -"},
			{2 * hour, "7200000 3600000 - - - -"},
			{3 * hour, "7200000 3600000 10800000 3600000 - -"},
			{4 * hour, "7200000 3600000 10800000 3600000 14400000 7200000"},
		}
		for s := range sights {
			if len(want) == 0 || s != want[0] {
				t.Fatalf("%+v, want %+v", s, want)
			}
			want = want[1:]
		}
		if len(want) > 0 {
			t.Errorf("never %+v", want)
		}
	})
}

// A receipt that waited for a backend to begin becomes complete later, and that is a change.
func TestChangedWhenSettled(t *testing.T) {
	bubble(t, func(t *testing.T, l *receipt.Ledger) {
		start := time.Now()
		r := play(t, l, seen, step{hour, completes})
		<-r.Changed()
		if d := time.Since(start); d != hour+settling {
			t.Errorf("changed after %v", d)
		}
		checkComplete(t, r, true)
	})
}

// Several callers watch one receipt.
func TestChangedForMany(t *testing.T) {
	bubble(t, func(t *testing.T, l *receipt.Ledger) {
		r := open(t, l, receipt.Run{Ops: 1})
		var notified atomic.Int32
		for range 3 {
			changed := r.Changed()
			go func() { <-changed; notified.Add(1) }()
		}
		synctest.Wait()
		if notified.Load() > 0 {
			t.Error("a watcher was notified without a change")
		}
		r.Answered(receipt.Completed, nil)
		synctest.Wait()
		if notified.Load() != 3 {
			t.Errorf("%d watchers were notified, want 3", notified.Load())
		}
	})
}

func TestHasAnswer(t *testing.T) {
	r := open(t, receipt.NewLedger("lab", 1, roomy), receipt.Run{Ops: 1})
	opEnds(r)
	if r.HasAnswer() {
		t.Error("the receipt has an answer before Answered")
	}
	r.Answered(receipt.Failed, nil)
	if !r.HasAnswer() {
		t.Error("the receipt has no answer after Answered")
	}
}

// A run without a watcher makes no allocation for one.
func TestRecordAllocations(t *testing.T) {
	l := receipt.NewLedger("lab", 100, roomy)
	const most = 3 // the receipt, its ID and the watched op
	if n := testing.AllocsPerRun(1000, func() { record(l) }); n > most {
		t.Errorf("%v allocations a request, want at most %d", n, most)
	}
}

// A larger receipt would cost each garbage collection several times as much.
func TestSize(t *testing.T) {
	if receipt.Size > 512 {
		t.Errorf("a receipt has %d bytes, want at most 512", receipt.Size)
	}
}

func panics(context.Context) error { panic("boom") }

func TestWrapPassesContextAndError(t *testing.T) {
	type key struct{}
	failed := errors.New("failed")
	r := open(t, receipt.NewLedger("lab", 1, roomy), receipt.Run{Ops: 1})
	err := r.Wrap(func(ctx context.Context) error {
		if ctx.Value(key{}) != "v" {
			t.Error("the op got another context")
		}
		return failed
	})(context.WithValue(t.Context(), key{}, "v"))
	if err != failed {
		t.Errorf("error %v, want the op's", err)
	}
}

// Several callers wait for one receipt, and all of them return when it is complete.
func TestWait(t *testing.T) {
	bubble(t, func(t *testing.T, l *receipt.Ledger) {
		r := open(t, l, receipt.Run{Ops: 1})
		start := time.Now()
		waited := make(chan time.Duration)
		for range 3 {
			go func() {
				r.Wait(t.Context())
				waited <- time.Since(start)
			}()
		}
		time.Sleep(hour)
		r.Answered(receipt.TimedOut, nil)
		synctest.Wait()
		select {
		case d := <-waited:
			t.Fatalf("a wait returned after %v, at the answer", d)
		default:
		}
		time.Sleep(hour)
		opEnds(r)
		for range 3 {
			if d := <-waited; d != 2*hour {
				t.Errorf("waited %v, want 2h", d)
			}
		}
	})
}

// A wait for a complete receipt returns at once, even with a cancelled context.
func TestWaitOnAComplete(t *testing.T) {
	bubble(t, func(t *testing.T, l *receipt.Ledger) {
		r := play(t, l, receipt.Run{Ops: 1}, step{hour, completes})
		start := time.Now()
		r.Wait(t.Context())
		r.Wait(cancelled(t.Context()))
		if d := time.Since(start); d != 0 {
			t.Errorf("waited %v", d)
		}
	})
}

func TestWaitIsCancelled(t *testing.T) {
	bubble(t, func(t *testing.T, l *receipt.Ledger) {
		r := open(t, l, receipt.Run{Ops: 1})
		start := time.Now()
		r.Wait(cancelled(t.Context()))
		if d := time.Since(start); d != 0 {
			t.Errorf("waited %v with a context that was done", d)
		}
		ctx, cancel := context.WithTimeout(t.Context(), hour)
		defer cancel()
		r.Wait(ctx)
		if d := time.Since(start); d != hour {
			t.Errorf("waited %v, want until the context is done at 1h", d)
		}
		completes(r) // a wait that gave up doesn't delay the next
		r.Wait(t.Context())
		checkComplete(t, r, true)
	})
}

// A wait that began before the receipt was opened again returns when the receipt is
// first complete. A wait that begins later returns when it is complete again.
func TestWaitOnAReopened(t *testing.T) {
	bubble(t, func(t *testing.T, l *receipt.Ledger) {
		start := time.Now()
		r := open(t, l, seen)
		first := make(chan time.Duration, 1)
		go func() {
			r.Wait(t.Context())
			first <- time.Since(start)
		}()
		time.Sleep(hour)
		completes(r)
		time.Sleep(hour) // longer than the receipt waits for the backend to begin
		r.BackendBegan()
		time.AfterFunc(hour, r.BackendEnded)
		r.Wait(t.Context())
		if d := time.Since(start); d != 3*hour {
			t.Errorf("the second wait returned at %v, want 3h", d)
		}
		if d := <-first; d != hour+settling {
			t.Errorf("the first wait returned at %v, want %v", d, hour+settling)
		}
	})
}

func cancelled(ctx context.Context) context.Context {
	ctx, cancel := context.WithCancel(ctx)
	cancel()
	return ctx
}
