package slowops_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"gotimeout/slowops"
	"gotimeout/strategies"
)

// How many calls a timer's panic cuts; GOTIMEOUT_SOAK=1 asks for all of them.
const (
	panics     = 2_000
	soakPanics = 100_000
)

// A panic of strategies.TimerPanic unwinds only what has returned, so no number
// of them takes a pool's slot, poisons a connection or leaves a goroutine.
func TestTimerPanicsLeaveThePoolsWhole(t *testing.T) {
	n := panics
	if os.Getenv("GOTIMEOUT_SOAK") == "1" {
		n = soakPanics
	}
	for _, name := range []string{"http", "cache", "db sleep"} {
		t.Run(name, func(t *testing.T) {
			known := goleak.IgnoreCurrent()
			t.Run("ops", func(t *testing.T) {
				s := pooled(t, 4)[name]
				manyPanics(t, s, n)
				stillWhole(t, s)
			})
			unleaked(t, known)
		})
	}
}

// manyPanics cuts calls all through their lives: waiting for a connection,
// dialling one, and waiting for the answer.
func manyPanics(t *testing.T, s subject, n int) {
	t.Helper()
	var strategy strategies.TimerPanic
	var workers sync.WaitGroup
	const size = 8
	for worker := range size {
		workers.Go(func() {
			for i := range n / size {
				c := s.call(fmt.Sprintf("panic-%d-%d", worker, i), 10*short)
				timeout := rand.N(4 * time.Millisecond)
				err := strategy.Do(t.Context(), timeout, func(ctx context.Context) error { return s.do(ctx, c) })
				if !errors.Is(err, strategies.ErrTimeout) {
					t.Errorf("call %d: %v", i, err)
					return
				}
			}
		})
	}
	workers.Wait()
}

func stillWhole(t *testing.T, s subject) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var calls sync.WaitGroup
	for i := range 20 {
		calls.Go(func() {
			c := slowops.Call{Run: fmt.Sprint("normal-", i), Work: s.work, Delay: time.Duration(i%2) * short}
			took, err := timed(ctx, s.do, c)
			if err != nil || took < c.Delay {
				t.Errorf("call %d afterwards: %v after %s", i, err, took)
			}
		})
	}
	calls.Wait()
}
