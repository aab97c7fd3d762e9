package replay

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"

	"github.com/eapache/go-resiliency/deadline"
)

func unbufferedResult() Experiment {
	return Experiment{
		ID: "resiliency-24", Title: "a result channel without a buffer keeps its goroutine for ever",
		Issues:   []string{"https://github.com/eapache/go-resiliency/issues/24"},
		Reported: "After the timeout nobody reads the result: a send on an unbuffered channel blocks for ever, and each timeout leaks a goroutine.",
		Does:     "100 calls of 0.2 s time out after 0.05 s, with the code as it was reported. The goroutines are counted when the calls have ended, and until they are gone or 2 s have passed.",
		Remedy:   "A channel with a buffer of one, as in go-resiliency v1.7.0.",
		run:      replayUnbufferedResult,
	}
}

func replayUnbufferedResult(_ context.Context, remedy bool) (o Outcome, err error) {
	const calls, work, timeout = 100, 200 * time.Millisecond, 50 * time.Millisecond
	run := deadline.New(timeout).Run
	if !remedy {
		run = runUnbuffered(timeout)
	}
	before := runtime.NumGoroutine()
	for range calls {
		go func() {
			_ = run(func(stopped <-chan struct{}) error {
				<-stopped // a pause of the machine must not end the work first
				time.Sleep(work - timeout)
				return nil
			})
		}()
	}
	time.Sleep(work)
	left := calls
	for end := time.Now().Add(2 * time.Second); left > 0 && time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		left = runtime.NumGoroutine() - before
	}
	return Outcome{
		Saw:        fmt.Sprintf("Of %d calls that have ended, %d goroutines are left.", calls, left),
		Reproduced: left == calls,
	}, nil
}

// runUnbuffered is the Run of go-resiliency's deadline as it was reported.
func runUnbuffered(timeout time.Duration) func(func(<-chan struct{}) error) error {
	return func(work func(<-chan struct{}) error) error {
		result, stopper := make(chan error), make(chan struct{})
		go func() { result <- work(stopper) }()
		select {
		case err := <-result:
			return err
		case <-time.After(timeout):
			close(stopper)
			return errors.New("timed out waiting for function to finish")
		}
	}
}
