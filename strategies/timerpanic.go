package strategies

import (
	"context"
	"sync"
	"time"
)

func timerPanic() Strategy {
	return Strategy{
		Name: "timer-panic", Family: AroundCall,
		Doc: "A timer cancels the op's context; once the op has returned, its goroutine panics and the strategy recovers: on time if the op is aware, late if it is deaf.",
		Do:  new(TimerPanic).Do,
	}
}

// TimerPanic is the strategy timer-panic: Do calls ops with a context that a
// timer cancels at the timeout. When the ops have returned to Do, which is the
// checkpoint, and the timer has fired, Do panics on the caller's goroutine and
// recovers its own panic; any other panic goes on. A result that comes after the
// timer has fired is thrown away.
//
// Do panics only once the libraries have returned. A panic that passes through
// them leaks the pool's slot or deadlocks under a deferred Close (database/sql),
// leaves a half-read connection in the pool (gomemcache), or kills the process
// (net/http dials, reads and writes on goroutines of its own). So a panic cannot
// interrupt work in Go, as an exception does in Python: it only unwinds the
// stack of a caller that is waiting no more.
//
// The zero value is ready for use, from any number of goroutines, but not both
// inside and outside a testing/synctest bubble: it keeps timers.
type TimerPanic struct{ alarms alarms }

// Do is the Do of a Strategy.
func (s *TimerPanic) Do(ctx context.Context, timeout time.Duration, ops ...Op) (err error) {
	wait := &lazyContext{parent: ctx}
	alarm := s.alarms.set(timeout, wait)
	defer func() {
		s.alarms.stop(alarm)
		wait.finish()
		switch v := recover(); v {
		case nil:
		case any(timerFired{wait}):
			err = ErrTimeout
		default:
			panic(v)
		}
	}()
	err = Together(ops...)(wait)
	wait.checkpoint()
	return err
}

// timerFired is the value of the panic. It names the call, so that of nested
// calls each recovers its own panic.
type timerFired struct{ of *lazyContext }

// lazyContext is a context that fire cancels. It makes the context that can be
// cancelled at the first call of Done or Err: an op that calls neither costs one
// allocation, where context.WithTimeout costs four.
type lazyContext struct {
	parent context.Context

	mu     sync.Mutex
	fired  bool
	over   bool            // the call has returned
	inner  context.Context // nil until the first Done or Err
	cancel context.CancelCauseFunc
}

func (c *lazyContext) fire()   { c.end(&c.fired, ErrTimeout) }
func (c *lazyContext) finish() { c.end(&c.over, context.Canceled) }

// end sets the flag and cancels the inner context, if there is one.
func (c *lazyContext) end(flag *bool, cause error) {
	c.mu.Lock()
	*flag = true
	cancel := c.cancel
	c.mu.Unlock()
	if cancel != nil {
		cancel(cause)
	}
}

func (c *lazyContext) checkpoint() {
	c.mu.Lock()
	fired := c.fired
	c.mu.Unlock()
	if fired {
		panic(timerFired{c})
	}
}

// withCancel returns inner, which it makes at the first call.
func (c *lazyContext) withCancel() context.Context {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.inner == nil {
		c.inner, c.cancel = context.WithCancelCause(c.parent)
		if c.fired {
			c.cancel(ErrTimeout)
		} else if c.over {
			c.cancel(context.Canceled)
		}
	}
	return c.inner
}

func (c *lazyContext) Deadline() (time.Time, bool) { return c.parent.Deadline() }
func (c *lazyContext) Done() <-chan struct{}       { return c.withCancel().Done() }
func (c *lazyContext) Err() error                  { return c.withCancel().Err() }

// Value is inner's once there is an inner: package context finds its own type
// there, so that a child of c needs no goroutine.
func (c *lazyContext) Value(key any) any {
	c.mu.Lock()
	inner := c.inner
	c.mu.Unlock()
	if inner != nil {
		return inner.Value(key)
	}
	return c.parent.Value(key)
}
