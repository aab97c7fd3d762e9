package strategies

import (
	"context"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

func errgroupStrategy() Strategy {
	return Strategy{
		Name: "errgroup", Family: AroundCall,
		Doc: "Runs the op beside a watchdog in an errgroup: the watchdog cancels the group at the timeout, but Wait waits for every function, so a deaf op makes it late.",
		Do:  Errgroup{}.Do,
	}
}

// Errgroup is the strategy errgroup: Do runs ops as the functions of one group,
// beside a watchdog that fails it at the timeout; the failure cancels the
// group's context. Wait waits for every function of the group, so it returns
// when the slowest op does (https://go.dev/issue/26099): an errgroup enforces
// no deadline on a deaf op.
//
// A panic of a function crashes the process of a plain errgroup
// (https://go.dev/issue/74275); here the panic comes back as a *PanicError.
type Errgroup struct{}

// Do is the Do of a Strategy.
func (Errgroup) Do(ctx context.Context, timeout time.Duration, ops ...Op) error {
	if len(ops) == 0 {
		return nil // no op would end the watchdog
	}
	group, ctx := errgroup.WithContext(ctx)
	finished := make(chan struct{})
	group.Go(func() error { return watchdog(timeout, finished) })

	var running atomic.Int64
	running.Store(int64(len(ops)))
	for _, op := range ops {
		group.Go(func() error {
			err := guard(ctx, op)
			if running.Add(-1) == 0 {
				close(finished)
			}
			return err
		})
	}
	return group.Wait()
}

// watchdog returns ErrTimeout at the timeout, or nil once every op has returned.
func watchdog(timeout time.Duration, finished <-chan struct{}) error {
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	select {
	case <-timer.C:
		return ErrTimeout
	case <-finished:
		return nil
	}
}
