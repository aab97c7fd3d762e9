package strategies

import (
	"context"
	"sync"
	"time"
)

func goroutineAbandon() Strategy {
	return Strategy{
		Name: "goroutine-abandon", Family: AroundCall,
		Doc: "Runs the op on a goroutine and walks away from it at the timeout: on time whatever the op does, but the op, its connection and its query run on to their end.",
		Do:  new(GoroutineAbandon).Do,
	}
}

// GoroutineAbandon is the strategy goroutine-abandon: Do runs ops on a
// goroutine and returns at the timeout or when ctx is done, whether or not the
// ops have. Nobody tells them: their context keeps ctx's values but is never
// cancelled. (Handed a request's context, an aware op would be cancelled by
// net/http as soon as the handler returned: context-cancel by accident.)
//
// The result channel is buffered, so an abandoned goroutine ends when its op
// does (https://github.com/eapache/go-resiliency/issues/24 is what happens
// without). A result that is there when the timer fires wins.
//
// The zero value is ready for use, from any number of goroutines, but not both
// inside and outside a testing/synctest bubble: it keeps timers.
type GoroutineAbandon struct {
	meetings sync.Pool // of *meeting
}

// Do is as Strategy says.
func (s *GoroutineAbandon) Do(ctx context.Context, timeout time.Duration, ops ...Op) error {
	m := s.meet(timeout)
	op := together(ops)
	go func() { m.done <- guard(context.WithoutCancel(ctx), op) }()

	select {
	case err := <-m.done:
		s.over(m)
		return err
	case <-ctx.Done():
		m.timer.Stop()
		return context.Cause(ctx)
	case <-m.timer.C:
	}
	select {
	case err := <-m.done:
		s.over(m)
		return err
	default:
		return ErrTimeout
	}
}

// meeting is where a caller and its goroutine meet. One whose goroutine came
// is empty again and can be used again; an abandoned one is its goroutine's.
type meeting struct {
	done  chan error
	timer *time.Timer
}

func (s *GoroutineAbandon) meet(timeout time.Duration) *meeting {
	if m, ok := s.meetings.Get().(*meeting); ok {
		m.timer.Reset(timeout) // since Go 1.23 a stopped timer holds no stale tick
		return m
	}
	return &meeting{done: make(chan error, 1), timer: time.NewTimer(timeout)}
}

func (s *GoroutineAbandon) over(m *meeting) {
	m.timer.Stop()
	s.meetings.Put(m)
}
