package strategies_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"gotimeout/strategies"
)

// returning works for d, ignores its context, and returns a value and err.
func returning(value string, d time.Duration, err error) func(context.Context) (string, error) {
	return func(context.Context) (string, error) { time.Sleep(d); return value, err }
}

func TestValue(t *testing.T) {
	each(t, func(t *testing.T, s strategies.Strategy) {
		var v, none strategies.Value[string]
		if err := s.Do(t.Context(), timeout, v.Op(returning("done", time.Minute, nil))); err != nil {
			t.Error(err)
		}
		if got, ok := v.Get(); got != "done" || !ok {
			t.Errorf("%q, %t, want the op's value", got, ok)
		}
		if err := s.Do(t.Context(), timeout, none.Op(returning("half", time.Minute, errOp))); !errors.Is(err, errOp) {
			t.Errorf("error %v, want the op's", err)
		}
		if got, ok := none.Get(); got != "" || ok {
			t.Errorf("%q, %t: the value of an op that failed", got, ok)
		}
	})
}

func TestValueOfTheFirstOp(t *testing.T) {
	each(t, func(t *testing.T, s strategies.Strategy) {
		var v strategies.Value[string]
		err := s.Do(t.Context(), timeout, v.Op(returning("second", 2*time.Minute, nil)), v.Op(returning("first", time.Minute, nil)))
		if got, ok := v.Get(); err != nil || got != "first" || !ok {
			t.Errorf("%q, %t, %v, want the value of the op that returned first", got, ok, err)
		}
	})
}

// An abandoned op that ends at the very instant of the timeout, or after it,
// never changes what its caller has read.
func TestValueAbandoned(t *testing.T) {
	for range 50 {
		for _, d := range []time.Duration{timeout, timeout + 1, work} {
			synctest.Test(t, func(t *testing.T) {
				var v strategies.Value[string]
				err := named(t, "goroutine-abandon").Do(t.Context(), timeout, v.Op(returning("late", d, nil)))
				got, ok := v.Get()
				if err == nil && !ok || d == work && ok || ok != (got == "late") {
					t.Errorf("op of %v: %q, %t, %v", d, got, ok, err)
				}
				time.Sleep(work)
				if again, same := v.Get(); again != got || same != ok {
					t.Errorf("op of %v: %q, %t became %q, %t", d, got, ok, again, same)
				}
			})
		}
	}
}
