package strategies_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"gotimeout/strategies"
	"gotimeout/strategies/chitimeout"
	"gotimeout/strategies/failsafetimeout"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	timeout = time.Hour
	work    = 5 * time.Hour
)

var errOp = errors.New("the op failed")

// aware works for d, or until its context is done.
func aware(d time.Duration) strategies.Op {
	return func(ctx context.Context) error {
		select {
		case <-time.After(d):
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// deaf works for d, and ignores its context.
func deaf(d time.Duration) strategies.Op {
	return func(context.Context) error { time.Sleep(d); return nil }
}

// inClient works for d in a client that enforces the timeout itself.
func inClient(d time.Duration) strategies.Op {
	return func(context.Context) error {
		time.Sleep(min(d, timeout))
		if d > timeout {
			return fmt.Errorf("read: %w", os.ErrDeadlineExceeded)
		}
		return nil
	}
}

func failing(d time.Duration) strategies.Op {
	return func(context.Context) error { time.Sleep(d); return errOp }
}

// run is the outcome of one call of a strategy.
type run struct {
	err             error
	answered, ended time.Duration
}

// measure calls a strategy in a bubble, where time is exact and a goroutine that
// never ends is a panic.
func measure(t *testing.T, name string, ops ...strategies.Op) (r run) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r = measureIn(t.Context(), named(t, name), ops...)
	})
	return r
}

func measureIn(ctx context.Context, s strategies.Strategy, ops ...strategies.Op) (r run) {
	start := time.Now()
	ended := make(chan time.Duration, len(ops))
	watched := make([]strategies.Op, len(ops))
	for i, op := range ops {
		watched[i] = func(ctx context.Context) error {
			defer func() { ended <- time.Since(start) }()
			return op(ctx)
		}
	}
	r.err = s.Do(ctx, timeout, watched...)
	r.answered = time.Since(start)
	for range ops {
		r.ended = max(r.ended, <-ended)
	}
	return r
}

// all returns the strategies of the package and those of the packages below it, which keep
// the same contract.
func all() []strategies.Strategy {
	return append(strategies.All(), chitimeout.Strategy(), failsafetimeout.Strategy())
}

func named(t *testing.T, name string) strategies.Strategy {
	t.Helper()
	for _, s := range all() {
		if s.Name == name {
			return s
		}
	}
	t.Fatalf("no strategy is named %q", name)
	return strategies.Strategy{}
}

// want is a strategy's promise for 5 h of work under a timeout of 1 h.
type want struct {
	timesOut        bool
	answered, ended time.Duration
}

// promises has a row for each strategy. A missing row fails the test, and so does an unused row.
var promises = map[string]struct{ aware, deaf want }{
	"baseline":          {want{false, work, work}, want{false, work, work}},
	"goroutine-abandon": {want{true, timeout, work}, want{true, timeout, work}},
	"context-cancel":    {want{true, timeout, timeout}, want{false, work, work}},
	"timer-panic":       {want{true, timeout, timeout}, want{true, work, work}},
	"errgroup":          {want{true, timeout, timeout}, want{true, work, work}},
	"failsafe-timeout":  {want{true, timeout, timeout}, want{true, work, work}},
	"timeout-handler":   {want{true, timeout, timeout}, want{true, timeout, work}},
	"chi-timeout":       {want{true, timeout, timeout}, want{false, work, work}},
	"write-timeout":     {want{true, work, work}, want{true, work, work}},
	"io-timeout":        {want{false, work, work}, want{false, work, work}},
	"kill-query":        {want{true, timeout, timeout}, want{false, work, work}},
	"server-limit":      {want{false, work, work}, want{false, work, work}},
	"subprocess-kill":   {want{true, timeout, timeout}, want{false, work, work}}, // of ops in this process
	"offload":           {want{true, timeout, timeout}, want{false, work, work}}, // the same
}

// asked are the bounds that strategies ask of the client.
var asked = map[string]strategies.ClientBounds{
	"io-timeout":   {IO: timeout},
	"kill-query":   {Kill: timeout},
	"server-limit": {Server: timeout},
}

func TestPromises(t *testing.T) {
	seen := 0
	for _, s := range all() {
		row, ok := promises[s.Name]
		if !ok {
			t.Errorf("%s has no row in the matrix", s.Name)
			continue
		}
		seen++
		for kind, cell := range map[string]struct {
			op   strategies.Op
			want want
		}{"aware": {aware(work), row.aware}, "deaf": {deaf(work), row.deaf}} {
			t.Run(s.Name+"/"+kind, func(t *testing.T) {
				for _, n := range []int{1, 3} {
					check(t, measure(t, s.Name, repeat(cell.op, n)...), cell.want)
				}
			})
		}
	}
	if seen != len(promises) {
		t.Errorf("the matrix has %d rows, %d of them used", len(promises), seen)
	}
}

// The fields of a strategy agree with its family.
func TestFields(t *testing.T) {
	for _, s := range all() {
		if bounded := slices.Contains(strategies.Families(), s.Family); bounded == s.Unbounded || !bounded && s.Family != strategies.NoFamily {
			t.Errorf("%s: family %q, unbounded %t", s.Name, s.Family, s.Unbounded)
		}
		asks := s.Bounds(timeout)
		if asks != asked[s.Name] || (s.Client != nil) != (asks != strategies.ClientBounds{}) {
			t.Errorf("%s asks %+v of the client, want %+v", s.Name, asks, asked[s.Name])
		}
		if everywhere := asks.Server == 0 && asks.Kill == 0; s.Suits("http") != everywhere || s.Suits("any") != everywhere || !s.Suits("db") {
			t.Errorf("%s suits %v", s.Name, s.Only)
		}
	}
	some := strategies.Strategy{Only: []string{"db"}}
	if some.Suits("http") || !some.Suits("db") {
		t.Error("Suits doesn't follow Only")
	}
}

func repeat(op strategies.Op, n int) []strategies.Op {
	ops := make([]strategies.Op, n)
	for i := range ops {
		ops[i] = op
	}
	return ops
}

func check(t *testing.T, got run, want want) {
	t.Helper()
	if got.answered != want.answered || got.ended != want.ended {
		t.Errorf("answered after %v, ended after %v; want %v, %v", got.answered, got.ended, want.answered, want.ended)
	}
	if !want.timesOut {
		if got.err != nil {
			t.Errorf("error %v, want none", got.err)
		}
		return
	}
	for _, target := range []error{strategies.ErrTimeout, context.DeadlineExceeded} {
		if !errors.Is(got.err, target) {
			t.Errorf("error %v does not match %v", got.err, target)
		}
	}
}

// The limit of a server is an error with a code, and may come a moment before the timeout.
func TestServerLimitNamesTheServersError(t *testing.T) {
	check(t, measure(t, "server-limit", func(context.Context) error {
		time.Sleep(timeout - 1)
		return phaseError{true}
	}), want{true, timeout - 1, timeout - 1})
}

func TestIOTimeoutNamesTheClientsError(t *testing.T) {
	check(t, measure(t, "io-timeout", inClient(work)), want{true, timeout, timeout})
	check(t, measure(t, "io-timeout", inClient(time.Minute)), want{false, time.Minute, time.Minute})
	early := func(context.Context) error { return os.ErrDeadlineExceeded }
	if got := measure(t, "io-timeout", early); got.err == nil || errors.Is(got.err, strategies.ErrTimeout) {
		t.Errorf("%v: another timeout, before the strategy's, matches ErrTimeout", got.err)
	}
}

// phaseError is the error of a phase, as an op returns it.
type phaseError struct{ timeout bool }

func (phaseError) Error() string   { return "no headers" }
func (phaseError) Code() string    { return "header_timeout" }
func (e phaseError) Timeout() bool { return e.timeout }

// The timeout of a phase ends the call before the run's timeout, and matches ErrTimeout too.
func TestIOTimeoutNamesThatOfAPhase(t *testing.T) {
	for _, isTimeout := range []bool{true, false} {
		op := func(context.Context) error { return phaseError{isTimeout} }
		err := strategies.IOTimeout{}.Do(t.Context(), time.Hour, op)
		if errors.Is(err, strategies.ErrTimeout) != isTimeout || !errors.Is(err, phaseError{isTimeout}) {
			t.Errorf("Timeout() %t: got %v", isTimeout, err)
		}
	}
}

// Package net gives its sockets the context's deadline. Their error may come before
// the context's, and is the same timeout.
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

// each runs a test of every strategy, in a bubble.
func each(t *testing.T, test func(t *testing.T, s strategies.Strategy)) {
	for _, s := range all() {
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

// A cancel by the caller is not a timeout, and only goroutine-abandon leaves the op
// running after such a cancel.
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
		own := s.Name == "goroutine-abandon" || s.Name == "errgroup" || s.Family == strategies.AroundHandler
		for _, ops := range [][]strategies.Op{{boom}, {boom, aware(work)}} {
			panicked, err := catch(func() error { return s.Do(t.Context(), timeout, ops...) })
			if !own && len(ops) == 1 {
				if panicked != "boom" {
					t.Errorf("panic %v, want the op's panic to unwind the caller", panicked)
				}
				continue
			}
			var p *strategies.PanicError
			if !errors.As(err, &p) || p.Value != "boom" || len(p.Stack) == 0 {
				t.Errorf("error %v, panic %v; want a *PanicError with the op's stack", err, panicked)
			}
		}
	})
}

// catch calls f and returns f's error, or the value that f panicked with.
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

// An op that returns at the very instant of the timeout has one outcome: nil or
// ErrTimeout.
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
