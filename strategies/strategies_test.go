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

// deaf works for d, whatever its context says.
func deaf(d time.Duration) strategies.Op {
	return func(context.Context) error { time.Sleep(d); return nil }
}

// inClient works for d in a client that has the timeout of its own.
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

// run is what one call of a strategy did.
type run struct {
	err             error
	answered, ended time.Duration
}

// measure calls a strategy in a bubble, where time is exact and a goroutine
// left behind for ever is a panic.
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

func named(t *testing.T, name string) strategies.Strategy {
	t.Helper()
	for _, s := range strategies.All() {
		if s.Name == name {
			return s
		}
	}
	t.Fatalf("no strategy is named %q", name)
	return strategies.Strategy{}
}

// want is what a strategy promises around 5 h of work under a timeout of 1 h.
type want struct {
	timesOut        bool
	answered, ended time.Duration
}

// promises has a row for every strategy, so that a missing or an unused one fails.
var promises = map[string]struct{ aware, deaf want }{
	"baseline":          {want{false, work, work}, want{false, work, work}},
	"goroutine-abandon": {want{true, timeout, work}, want{true, timeout, work}},
	"context-cancel":    {want{true, timeout, timeout}, want{false, work, work}},
	"timer-panic":       {want{true, timeout, timeout}, want{true, work, work}},
	"errgroup":          {want{true, timeout, timeout}, want{true, work, work}},
	"io-timeout":        {want{false, work, work}, want{false, work, work}},
}

func TestPromises(t *testing.T) {
	seen := 0
	for _, s := range strategies.All() {
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

// What a strategy needs stands in its fields, and goes with its family.
func TestFields(t *testing.T) {
	for _, s := range strategies.All() {
		if bounded := slices.Contains(strategies.Families(), s.Family); bounded == s.Unbounded || !bounded && s.Family != strategies.NoFamily {
			t.Errorf("%s: family %q, unbounded %t", s.Name, s.Family, s.Unbounded)
		}
		if !s.Suits("http") || !s.Suits("any") {
			t.Errorf("%s does not suit every op", s.Name)
		}
		asks := strategies.ClientBounds{}
		if s.Client != nil {
			asks = s.Client(timeout)
		}
		if want := s.Name == "io-timeout"; (s.Client != nil) != want || (asks.IO == timeout) != want {
			t.Errorf("%s asks %+v of the client", s.Name, asks)
		}
	}
	some := strategies.Strategy{Only: []string{"db"}}
	if some.Suits("http") || !some.Suits("db") {
		t.Error("Only is not what the strategy suits")
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
