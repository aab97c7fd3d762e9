package replay

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"gotimeout/strategies"
)

func errgroupDeadline() Experiment {
	return Experiment{
		ID: "golang-26099", Title: "errgroup's Wait does not return at the deadline of its context",
		Issues:   []string{"https://go.dev/issue/26099"},
		Reported: "Wait waits for every function of the group. A function that does not look at the context makes Wait late, whatever the context's deadline says.",
		Does:     "A group under a context of 0.2 s has a function that works for 2 s and looks at no context.",
		Remedy:   "Wait on a goroutine of its own, and select between that and ctx.Done: the function is left behind until it ends.",
		run:      replayErrgroupDeadline,
	}
}

func replayErrgroupDeadline(ctx context.Context, remedy bool) (o Outcome, err error) {
	const work, timeout = 2 * time.Second, 200 * time.Millisecond
	ended := make(chan struct{})
	began := time.Now()
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		defer close(ended)
		time.Sleep(work)
		return nil
	})
	if remedy {
		waited := make(chan error, 1) // buffered, so that the goroutine ends
		go func() { waited <- group.Wait() }()
		select {
		case err = <-waited:
		case <-ctx.Done():
			err = ctx.Err()
		}
	} else {
		err = group.Wait()
	}
	took, late := time.Since(began), closed(ended)
	return Outcome{
		Saw: fmt.Sprintf("The caller had %s after %s, %s the function had ended.",
			withoutAddresses(err), sec(took), when(late)),
		Reproduced: late,
	}, nil
}

func errgroupPanic() Experiment {
	return Experiment{
		ID: "golang-74275", Title: "a panic in a group's goroutine ends the process",
		Issues:   []string{"https://go.dev/issue/74275", "https://go.dev/issue/53757"},
		Reported: "A recover around Wait, such as net/http's around a handler, does not see the panic of a function of the group: the panic is on another goroutine. That Wait should pass it on was accepted, tried and reverted.",
		Does:     "A function of a group panics, under a recover around Wait.",
		Remedy:   "Recover in the function itself, and return the panic as an error.",
		crashes:  true,
		run:      replayErrgroupPanic,
	}
}

func replayErrgroupPanic(ctx context.Context, remedy bool) (o Outcome, err error) {
	defer func() { _ = recover() }()
	group, ctx := errgroup.WithContext(ctx)
	work := func(context.Context) error { panic("a function's invariant is broken") }
	if remedy {
		// The lab's strategy errgroup recovers in each function.
		err = new(strategies.Errgroup).Do(ctx, soon, work)
	} else {
		group.Go(func() error { return work(ctx) })
		err = group.Wait()
		time.Sleep(3 * time.Second) // Wait may return a moment before the runtime ends the process
	}
	return Outcome{Saw: fmt.Sprintf("The process lives; Wait returned: %v.", err)}, nil
}
