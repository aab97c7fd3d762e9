package slowops_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"gotimeout/slowops"
)

func TestCompletes(t *testing.T) {
	t.Parallel()
	everywhere(t, allOps, realOps, func(t *testing.T, s subject) {
		for _, delay := range []time.Duration{0, short} {
			took, err := timed(t.Context(), s.do, s.call("completes", delay))
			if err != nil {
				t.Errorf("delay %s: %v", delay, err)
			}
			if !s.quick && took < s.least(delay) {
				t.Errorf("delay %s: took only %s", delay, took)
			}
		}
	})
}

func TestAwareReturnsEarly(t *testing.T) {
	t.Parallel()
	everywhere(t, slow(allOps), slow(realOps), func(t *testing.T, s subject) {
		ctx, cancel := context.WithTimeout(t.Context(), short)
		defer cancel()
		took, err := timed(ctx, s.do, s.call("deadline", s.far()))
		if !errors.Is(err, context.DeadlineExceeded) || took > patience {
			t.Errorf("deadline of %s: %v after %s", short, err, took)
		}
		took, err = timed(ctx, s.do, s.call("before", s.far()))
		if !errors.Is(err, context.DeadlineExceeded) || took > patience {
			t.Errorf("done before the call: %v after %s", err, took)
		}
		if s.began == nil {
			return
		}
		err = cancelledAtWork(t, s, s.call("cancel", long))
		if !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled: %v", err)
		}
	})
}

// cancelledAtWork calls, and cancels the call once the server works on it.
func cancelledAtWork(t *testing.T, s subject, c slowops.Call) error {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	result := make(chan error, 1)
	go func() { result <- s.do(ctx, c) }()
	eventually(t, "began "+c.Run, func() bool { return s.began.has(c.Run) })
	cancel()
	select {
	case err := <-result:
		return err
	case <-time.After(patience):
		t.Fatalf("%s: not back after its cancel", c.Run)
		return nil
	}
}

func TestDeafReturnsLate(t *testing.T) {
	t.Parallel()
	everywhere(t, allOps, realOps, func(t *testing.T, s subject) {
		before, cancel := context.WithCancel(t.Context())
		cancel()
		during, cancel := context.WithTimeout(t.Context(), short/10)
		defer cancel()
		for when, ctx := range map[string]context.Context{"before": before, "during": during} {
			c := s.call("deaf-"+when, 2*short)
			c.Deaf = true
			took, err := timed(ctx, s.do, c)
			if err != nil {
				t.Errorf("cancelled %s: %v", when, err)
			}
			if !s.quick && took < s.least(c.Delay) {
				t.Errorf("cancelled %s: back after %s", when, took)
			}
		}
	})
}

func TestIOTimeout(t *testing.T) {
	t.Parallel()
	everywhere(t, slow(anyPooled), slow(realOps), func(t *testing.T, s subject) {
		for _, deaf := range []bool{false, true} {
			c := s.call("iotimeout", s.far())
			c.IOTimeout, c.Deaf = short, deaf
			took, err := timed(t.Context(), s.do, c)
			if !isTimeout(err) || took < short || took > patience {
				t.Errorf("deaf %t: %v after %s", deaf, err, took)
			}
			c.Delay, c.IOTimeout = 0, patience
			if err := s.do(t.Context(), c); err != nil {
				t.Errorf("deaf %t: a call in time: %v", deaf, err)
			}
		}
	})
}

// A call without an IOTimeout must not inherit the one of the call before it.
func TestIOTimeoutIsOfOneCall(t *testing.T) {
	t.Parallel()
	for name, s := range pooled(t, 0) {
		t.Run(name, func(t *testing.T) {
			c := s.call("first", 0)
			c.IOTimeout = 2 * short
			if err := s.do(t.Context(), c); err != nil {
				t.Error(err)
			}
			if err := s.do(t.Context(), s.call("second", 4*short)); err != nil {
				t.Error(err)
			}
		})
	}
}
