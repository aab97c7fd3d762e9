package strategies

import (
	"sync"
	"time"
)

// alarms are timers that are used again: a new timer would cost a call two allocations.
type alarms struct {
	idle sync.Pool // of *alarm
}

// alarm is a timer that fires what it is set for.
type alarm struct {
	timer *time.Timer
	wait  interface{ fire() }
}

func (s *alarms) set(timeout time.Duration, wait interface{ fire() }) *alarm {
	a, ok := s.idle.Get().(*alarm)
	if !ok {
		a = &alarm{wait: wait}
		a.timer = time.AfterFunc(timeout, func() { a.wait.fire() })
		return a
	}
	a.wait = wait
	a.timer.Reset(timeout)
	return a
}

// stop stops the timer. A timer that has fired may still be about to read wait, so
// its alarm is not used again.
func (s *alarms) stop(a *alarm) {
	if a.timer.Stop() {
		a.wait = nil
		s.idle.Put(a)
	}
}
