package strategies

import (
	"context"
	"time"

	"golang.org/x/sync/errgroup"
)

func errgroupStrategy() Strategy {
	return Strategy{
		Name: "errgroup", Family: AroundCall,
		Doc: "Runs the op in an errgroup whose context a timer cancels at the timeout, but Wait waits for every function, so a deaf op makes it late.",
		Do:  new(Errgroup).Do,
	}
}

// Errgroup is the strategy errgroup: Do runs ops as the functions of one group, whose
// context a timer cancels at the timeout. Wait waits for every function of the group,
// so it returns when the slowest op does (https://go.dev/issue/26099): an errgroup
// enforces no deadline on a deaf op.
//
// A panic of a function crashes the process of a plain errgroup
// (https://go.dev/issue/74275); here the panic comes back as a *PanicError.
//
// The zero value is ready for use, from any number of goroutines, but not both
// inside and outside a testing/synctest bubble: it keeps timers.
type Errgroup struct{ alarms alarms }

// Do is the Do of a Strategy.
func (s *Errgroup) Do(ctx context.Context, timeout time.Duration, ops ...Op) error {
	ctx, cancel := context.WithCancelCause(ctx)
	alarm := s.alarms.set(timeout, canceller(cancel))
	defer s.alarms.stop(alarm)

	group, ctx := errgroup.WithContext(ctx)
	for _, op := range ops {
		group.Go(func() error { return guard(ctx, op) })
	}
	err := group.Wait()
	cancel(nil)
	if context.Cause(ctx) == ErrTimeout { // and not the error of an op that failed before
		return ErrTimeout
	}
	return err
}

// canceller cancels a context at the timeout.
type canceller context.CancelCauseFunc

func (c canceller) fire() { c(ErrTimeout) }
