package replay

import (
	"context"
	"fmt"
	"time"

	"github.com/failsafe-go/failsafe-go"
	"github.com/failsafe-go/failsafe-go/timeout"

	"gotimeout/strategies"
)

func failsafeDeaf() Experiment {
	return Experiment{
		ID: "failsafe-deaf", Title: "failsafe-go's Timeout waits for a function that ignores its context",
		Issues:   []string{"https://failsafe-go.dev/timeout/"},
		Reported: "The policy cancels the execution's context and returns ErrExceeded when the function has returned: around a function of an hour, after an hour.",
		Does:     "A policy of 0.2 s is put around a function that works for 2 s and looks at no context.",
		Remedy:   "A function that honours exec.Context(), or a strategy that abandons it: goroutine-abandon here.",
		run:      replayFailsafeDeaf,
	}
}

func replayFailsafeDeaf(ctx context.Context, remedy bool) (o Outcome, err error) {
	const work, bound = 2 * time.Second, 200 * time.Millisecond
	ended := make(chan struct{})
	deaf := func() error {
		defer close(ended)
		time.Sleep(work)
		return nil
	}
	began := time.Now()
	if remedy {
		err = new(strategies.GoroutineAbandon).Do(ctx, bound, func(context.Context) error { return deaf() })
	} else {
		err = failsafe.With(timeout.New[any](bound)).Run(deaf)
	}
	took, late := time.Since(began), closed(ended)
	return Outcome{
		Saw: fmt.Sprintf("The caller had the error \"%v\" after %s, %s the function had ended.",
			err, sec(took), when(late)),
		Reproduced: late,
	}, nil
}
