package receipt_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"gotimeout/internal/receipt"
)

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
		t.Errorf("error %v, want the op's own", err)
	}
}

// Many wait for one receipt, and all of them return with it.
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
			t.Fatalf("a wait returned after %v, with the answer", d)
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

// A wait on a complete receipt returns at once, even with a dead context.
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
		completes(r) // and one that gave up doesn't hinder the next
		r.Wait(t.Context())
		checkComplete(t, r, true)
	})
}

// A wait that began before a receipt was opened again returns at its first
// completion; one that begins after it waits for the second.
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
		time.Sleep(hour) // and the backend that did not begin has had its time
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
