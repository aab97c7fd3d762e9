package strategies_test

import (
	"context"
	"errors"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"gotimeout/strategies"
)

func TestIOTimeoutNamesTheClientsError(t *testing.T) {
	check(t, measure(t, "io-timeout", inClient(work)), want{true, timeout, timeout})
	check(t, measure(t, "io-timeout", inClient(time.Minute)), want{false, time.Minute, time.Minute})
	early := func(context.Context) error { return os.ErrDeadlineExceeded }
	if got := measure(t, "io-timeout", early); got.err == nil || errors.Is(got.err, strategies.ErrTimeout) {
		t.Errorf("%v: a timeout of something else, before the bound, is called ours", got.err)
	}
}

// phaseError is an error that names what it is of.
type phaseError struct{ timeout bool }

func (phaseError) Error() string   { return "no headers" }
func (phaseError) Code() string    { return "header_timeout" }
func (e phaseError) Timeout() bool { return e.timeout }

// The timeout of a phase comes before the one in all, and is a timeout too.
func TestIOTimeoutNamesThatOfAPhase(t *testing.T) {
	for _, isTimeout := range []bool{true, false} {
		op := func(context.Context) error { return phaseError{isTimeout} }
		err := strategies.IOTimeout{}.Do(t.Context(), time.Hour, op)
		if errors.Is(err, strategies.ErrTimeout) != isTimeout || !errors.Is(err, phaseError{isTimeout}) {
			t.Errorf("Timeout() %t: got %v", isTimeout, err)
		}
	}
}

// net puts a context's deadline on its sockets, whose own error may come before
// the context's: it is the same timeout.
func TestContextCancelAndTheSocketsDeadline(t *testing.T) {
	for range 200 {
		got := measure(t, "context-cancel", func(ctx context.Context) error {
			at, _ := ctx.Deadline()
			time.Sleep(time.Until(at))
			return os.ErrDeadlineExceeded
		})
		check(t, got, want{true, timeout, timeout})
	}
}

// each runs a test of what all strategies have in common.
func each(t *testing.T, test func(t *testing.T, s strategies.Strategy)) {
	for _, s := range strategies.All() {
		t.Run(s.Name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { test(t, named(t, s.Name)) })
		})
	}
}

func TestCompletesWithinTheTimeout(t *testing.T) {
	each(t, func(t *testing.T, s strategies.Strategy) {
		check(t, measureIn(t.Context(), s, aware(time.Minute), deaf(time.Second)), want{false, time.Minute, time.Minute})
	})
}

func TestNoOps(t *testing.T) {
	each(t, func(t *testing.T, s strategies.Strategy) {
		check(t, measureIn(t.Context(), s), want{false, 0, 0})
	})
}

func TestReturnsTheOpsError(t *testing.T) {
	each(t, func(t *testing.T, s strategies.Strategy) {
		got := measureIn(t.Context(), s, failing(time.Minute), aware(work))
		if !errors.Is(got.err, errOp) || errors.Is(got.err, strategies.ErrTimeout) {
			t.Errorf("error %v, want the op's", got.err)
		}
		if got.ended != time.Minute {
			t.Errorf("the other op ended after %v, want it cancelled by the failure at 1m", got.ended)
		}
	})
}

// The caller's own end is not a timeout, and no strategy but goroutine-abandon
// leaves the op running after it.
func TestCallerGone(t *testing.T) {
	each(t, func(t *testing.T, s strategies.Strategy) {
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Minute, cancel)
		got := measureIn(ctx, s, aware(work))
		if !errors.Is(got.err, context.Canceled) || errors.Is(got.err, strategies.ErrTimeout) {
			t.Errorf("error %v, want context.Canceled", got.err)
		}
		if got.answered != time.Minute {
			t.Errorf("answered after %v, want 1m", got.answered)
		}
		if abandons := s.Name == "goroutine-abandon"; (got.ended == work) != abandons {
			t.Errorf("ended after %v", got.ended)
		}
	})
}

func TestPanicOfTheOp(t *testing.T) {
	boom := func(context.Context) error { panic("boom") }
	each(t, func(t *testing.T, s strategies.Strategy) {
		own := s.Name == "goroutine-abandon" || s.Name == "errgroup"
		for _, ops := range [][]strategies.Op{{boom}, {boom, aware(work)}} {
			panicked, err := catch(func() error { return s.Do(t.Context(), timeout, ops...) })
			if !own && len(ops) == 1 {
				if panicked != "boom" {
					t.Errorf("panic %v, want the op's to unwind the caller", panicked)
				}
				continue
			}
			var p *strategies.PanicError
			if !errors.As(err, &p) || p.Value != "boom" || len(p.Stack) == 0 {
				t.Errorf("error %v, panic %v; want a *PanicError with its stack", err, panicked)
			}
		}
	})
}

// catch calls f and returns the value of its panic or its error.
func catch(f func() error) (panicked any, err error) {
	defer func() { panicked = recover() }()
	return nil, f()
}

func TestAbandonedPanic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		late := func(context.Context) error { time.Sleep(work); panic("late") }
		check(t, measureIn(t.Context(), named(t, "goroutine-abandon"), late), want{true, timeout, work})
	})
}

// An op that returns at the very instant of the timeout has one outcome, and
// no strategy calls a result lost that was there.
func TestResultAtTheTimeout(t *testing.T) {
	each(t, func(t *testing.T, s strategies.Strategy) {
		got := measureIn(t.Context(), s, deaf(timeout))
		if got.answered != timeout {
			t.Errorf("answered after %v, want %v", got.answered, timeout)
		}
		if got.err != nil && !errors.Is(got.err, strategies.ErrTimeout) {
			t.Errorf("error %v", got.err)
		}
	})
}
