package replay

import (
	"context"
	"fmt"
	"time"
)

func afterFuncPanic() Experiment {
	return Experiment{
		ID: "afterfunc-panic", Title: "a panic in time.AfterFunc ends the process, and interrupts nobody",
		Issues:   []string{"https://go.dev/issue/25664", "https://go.dev/issue/27960"},
		Reported: "Python's timers raise an exception in the code that is late. In Go a timer's function runs on a goroutine of its own: its panic does not reach the caller's recover. To panic or end another goroutine was proposed and rejected.",
		Does:     "A timer panics after 0.1 s, under a caller that recovers and works for 1 s.",
		Remedy:   "Let the timer cancel a context, and panic on the caller's own goroutine when its work has returned.",
		crashes:  true,
		run:      replayAfterFuncPanic,
	}
}

func replayAfterFuncPanic(ctx context.Context, remedy bool) (o Outcome, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	fire := func() { panic("the time is up") }
	if remedy {
		fire = cancel
	}
	began := time.Now()
	var recovered any
	func() {
		defer func() { recovered = recover() }()
		defer time.AfterFunc(100*time.Millisecond, fire).Stop()
		select {
		case <-ctx.Done():
			panic("the time is up")
		case <-time.After(time.Second):
		}
	}()
	return Outcome{Saw: fmt.Sprintf("The process lives; the caller recovered %q after %s.", recovered, sec(time.Since(began)))}, nil
}
