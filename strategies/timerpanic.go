package strategies

import (
	"context"
	"sync"
	"time"
)

func timerPanic() Strategy {
	return Strategy{
		Name: "timer-panic", Family: AroundCall,
		Doc: "A timer cancels the op, whose own goroutine panics at the next checkpoint and is recovered at the boundary: on time if the op is aware, late if it is deaf.",
		Do:  new(TimerPanic).Do,
	}
}

// TimerPanic is the strategy timer-panic: Do calls ops with a context that a
// timer cancels at the timeout. At the checkpoint, which is where the ops have
// returned to this package, a fired timer becomes a panic on the caller's
// goroutine; the boundary recovers that panic and lets any other go on. A
// result that comes after the timer has fired is thrown away.
//
// The panic is raised only after the libraries have returned, because a panic
// that passes through them leaks (database/sql loses the pool's slot, or
// deadlocks under a deferred Close), poisons (gomemcache pools the connection)
// or kills the process (net/http dials, reads and writes on goroutines of its
// own). So Go cannot interrupt with it: it unwinds, no more.
//
// The zero value is ready for use, from any number of goroutines, but not both
// inside and outside a testing/synctest bubble: it keeps timers.
type TimerPanic struct {
	alarms sync.Pool // of *alarm
}

// Do is as Strategy says.
func (s *TimerPanic) Do(ctx context.Context, timeout time.Duration, ops ...Op) (err error) {
	wait := &lazyContext{parent: ctx}
	alarm := s.setAlarm(timeout, wait)
	defer func() {
		s.stop(alarm)
		wait.finish()
		switch v := recover(); v {
		case nil:
		case any(timerFired{wait}):
			err = ErrTimeout
		default:
			panic(v)
		}
	}()
	err = together(ops)(wait)
	wait.checkpoint()
	return err
}

// timerFired is the value of the panic: of this call's timer and no other, so
// that nested boundaries don't take each other's.
type timerFired struct{ of *lazyContext }

// lazyContext is a context that fire cancels, and that costs nothing until
// somebody asks for its Done: a call that doesn't need it pays one allocation
// where context.WithTimeout takes four.
type lazyContext struct {
	parent context.Context

	mu     sync.Mutex
	fired  bool
	over   bool            // the call has returned
	inner  context.Context // nil until somebody asks
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

// asked returns the real context behind c, making it at the first call.
func (c *lazyContext) asked() context.Context {
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
func (c *lazyContext) Done() <-chan struct{}       { return c.asked().Done() }
func (c *lazyContext) Err() error                  { return c.asked().Err() }

// Value asks the inner context once there is one, so that package context
// finds its own kind in there and a child of c costs no goroutine.
func (c *lazyContext) Value(key any) any {
	c.mu.Lock()
	inner := c.inner
	c.mu.Unlock()
	if inner != nil {
		return inner.Value(key)
	}
	return c.parent.Value(key)
}

// alarm is a reusable timer that fires the context it is set for.
type alarm struct {
	timer *time.Timer
	wait  *lazyContext
}

func (s *TimerPanic) setAlarm(timeout time.Duration, wait *lazyContext) *alarm {
	a, ok := s.alarms.Get().(*alarm)
	if !ok {
		a = &alarm{wait: wait}
		a.timer = time.AfterFunc(timeout, func() { a.wait.fire() })
		return a
	}
	a.wait = wait
	a.timer.Reset(timeout)
	return a
}

// stop always stops the timer. One that has fired may still be about to read
// wait, so only one that never will goes back to the pool.
func (s *TimerPanic) stop(a *alarm) {
	if a.timer.Stop() {
		a.wait = nil
		s.alarms.Put(a)
	}
}
