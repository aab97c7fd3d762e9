package replay

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"
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
