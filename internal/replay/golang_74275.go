package replay

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"gotimeout/strategies"
)

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
