package strategies

import (
	"context"
	"sync"
	"time"
)

func goroutineAbandon() Strategy {
	return Strategy{
		Name: "goroutine-abandon", Family: AroundCall,
		Doc: "Runs the op on a goroutine and returns at the timeout without it: always on time, but the op, its connection and its query run on to their end.",
		Do:  new(GoroutineAbandon).Do,
	}
}

// GoroutineAbandon is the strategy goroutine-abandon: Do runs ops on a
// goroutine and returns at the timeout or when ctx is done, whether or not the
// ops have returned. The ops are not cancelled: their context has ctx's values
// and no end. (net/http cancels a request's context when its handler returns, so
// with that context an aware op would be cut, as under context-cancel.)
//
// The result channel is buffered, so an abandoned goroutine ends when its ops
// have ended; with an unbuffered channel it never ends
// (https://github.com/eapache/go-resiliency/issues/24). If the ops return at the
// instant of the timeout, Do returns their result.
//
// The zero value is ready for use, from any number of goroutines, but not both
// inside and outside a testing/synctest bubble: it keeps timers.
type GoroutineAbandon struct {
	calls sync.Pool // of *pendingCall
}

// Do is the Do of a Strategy.
func (s *GoroutineAbandon) Do(ctx context.Context, timeout time.Duration, ops ...Op) error {
	c := s.newCall(timeout)
	op := Together(ops...)
	go func() { c.done <- guard(context.WithoutCancel(ctx), op) }()

	select {
	case err := <-c.done:
		s.reuse(c)
		return err
	case <-ctx.Done():
		c.timer.Stop()
		return context.Cause(ctx)
	case <-c.timer.C:
	}
	select {
	case err := <-c.done:
		s.reuse(c)
		return err
	default:
		return ErrTimeout
	}
}

// pendingCall is what a caller shares with the goroutine of its ops. It can be
// reused once the goroutine has sent; an abandoned goroutine keeps it.
type pendingCall struct {
	done  chan error
	timer *time.Timer
}

func (s *GoroutineAbandon) newCall(timeout time.Duration) *pendingCall {
	if c, ok := s.calls.Get().(*pendingCall); ok {
		c.timer.Reset(timeout) // since Go 1.23 a stopped timer holds no stale tick
		return c
	}
	return &pendingCall{done: make(chan error, 1), timer: time.NewTimer(timeout)}
}

func (s *GoroutineAbandon) reuse(c *pendingCall) {
	c.timer.Stop()
	s.calls.Put(c)
}
