package strategies_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"gotimeout/strategies"
)

// A call recovers the panic of its own timer alone, so the outer timer's panic passes
// through the inner call.
func TestTimerPanicNested(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var outer, inner strategies.TimerPanic
		start := time.Now()
		var innerErr error
		err := outer.Do(t.Context(), time.Minute, func(ctx context.Context) error {
			innerErr = inner.Do(ctx, time.Hour, aware(work))
			return nil
		})
		if !errors.Is(err, strategies.ErrTimeout) || time.Since(start) != time.Minute {
			t.Errorf("outer: %v after %v, want a timeout after 1m", err, time.Since(start))
		}
		if errors.Is(innerErr, strategies.ErrTimeout) || !errors.Is(innerErr, context.Canceled) {
			t.Errorf("inner: %v, want the outer's cancel", innerErr)
		}
	})
}

// The context of an op is made lazily and behaves as any other.
func TestTimerPanicContext(t *testing.T) {
	type key struct{}
	synctest.Test(t, func(t *testing.T) {
		var s strategies.TimerPanic
		parent, cancel := context.WithDeadline(context.WithValue(t.Context(), key{}, "v"), time.Now().Add(work))
		defer cancel()
		var kept, child context.Context
		err := s.Do(parent, timeout, func(ctx context.Context) error {
			kept = ctx
			if ctx.Value(key{}) != "v" {
				t.Error("the parent's value is missing")
			}
			if d, _ := ctx.Deadline(); time.Until(d) != work {
				t.Errorf("deadline in %v, want the parent's", time.Until(d))
			}
			if ctx.Err() != nil || ctx.Value(key{}) != "v" {
				t.Errorf("before the timer: error %v, value %v", ctx.Err(), ctx.Value(key{}))
			}
			var stop context.CancelFunc
			child, stop = context.WithCancel(ctx)
			defer stop()
			<-child.Done()
			return ctx.Err()
		})
		if !errors.Is(err, strategies.ErrTimeout) {
			t.Errorf("error %v, want a timeout", err)
		}
		for name, ctx := range map[string]context.Context{"own": kept, "child": child} {
			if context.Cause(ctx) != strategies.ErrTimeout {
				t.Errorf("%s context: cause %v, want ErrTimeout", name, context.Cause(ctx))
			}
		}
	})
}

// An op may keep its context, as net/http's Transport does for a dial that
// outlives its request; after the call it must be cancelled.
func TestTimerPanicContextKept(t *testing.T) {
	for name, d := range map[string]time.Duration{"returned": time.Minute, "fired": work} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var s strategies.TimerPanic
				var kept context.Context
				_ = s.Do(t.Context(), timeout, func(ctx context.Context) error {
					kept = ctx
					time.Sleep(d)
					return nil
				})
				if kept.Err() == nil {
					t.Error("the context of a call that is over is not cancelled")
				}
			})
		})
	}
}

// A third of 100,000 calls time out. Their timers are reused, and each timer ends
// no call but its own.
func TestTimerPanicMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s strategies.TimerPanic
		for i := range 100_000 {
			d, fires := time.Minute, i%3 == 0
			if fires {
				d = work
			}
			if err := s.Do(t.Context(), timeout, aware(d)); errors.Is(err, strategies.ErrTimeout) != fires {
				t.Fatalf("call %d of %v: %v", i, d, err)
			}
		}
	})
}
