package strategies_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"time"

	"gotimeout/strategies"
)

// until is an aware op: it works until its context is done.
func until(ctx context.Context) error {
	<-ctx.Done()
	return ctx.Err()
}

// brief is a deaf op that succeeds after the timeout of the examples.
func brief(context.Context) error {
	<-time.After(20 * time.Millisecond)
	return nil
}

func ExampleAll() {
	for _, s := range strategies.All() {
		fmt.Println(s.Name, "is", s.Family)
	}
	// Output:
	// baseline is none
	// goroutine-abandon is around the call
	// context-cancel is around the call
	// timer-panic is around the call
	// errgroup is around the call
	// timeout-handler is around the handler
	// write-timeout is around the handler
	// io-timeout is inside the client
	// kill-query is in the backend
	// server-limit is in the backend
	// subprocess-kill is outside the process
	// offload is out of the request
}

// A baseline ignores the timeout: the op ends by itself.
func ExampleBaseline() {
	var s strategies.Baseline
	err := s.Do(context.Background(), time.Millisecond, brief)
	fmt.Println(err)
	// Output: <nil>
}

// The caller has its answer while the op runs on.
func ExampleGoroutineAbandon() {
	var s strategies.GoroutineAbandon
	slow, ended := make(chan bool), make(chan bool)
	err := s.Do(context.Background(), time.Millisecond, func(context.Context) error {
		<-slow // the op is deaf: nothing else ends it
		close(ended)
		return nil
	})
	fmt.Println(err)
	close(slow)
	<-ended
	fmt.Println("and later the op ended")
	// Output:
	// timed out
	// and later the op ended
}

// An aware op is cut at the timeout. A deaf op is late, and Do returns no error.
func ExampleContextCancel() {
	var s strategies.ContextCancel
	fmt.Println("aware:", s.Do(context.Background(), time.Millisecond, until))
	fmt.Println("deaf:", s.Do(context.Background(), time.Millisecond, brief))
	// Output:
	// aware: timed out: context deadline exceeded
	// deaf: <nil>
}

// A result that comes after the timeout is thrown away.
func ExampleTimerPanic() {
	var s strategies.TimerPanic
	fmt.Println("aware:", s.Do(context.Background(), time.Millisecond, until))
	fmt.Println("deaf:", s.Do(context.Background(), time.Millisecond, brief))
	// Output:
	// aware: timed out
	// deaf: timed out
}

// The group cancels an aware op, and Wait waits for a deaf op all the same.
func ExampleErrgroup() {
	var s strategies.Errgroup
	ended := false
	err := s.Do(context.Background(), time.Millisecond, until, func(ctx context.Context) error {
		<-ctx.Done()
		err := brief(ctx) // the op goes on after the cancel
		ended = true
		return err
	})
	fmt.Println(err, "and the deaf op has ended:", ended)
	// Output: timed out and the deaf op has ended: true
}

// The client has the timeout, and the strategy makes its error match ErrTimeout.
func ExampleIOTimeout() {
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		<-r.Context().Done() // never answers
	}))
	defer server.Close()

	const timeout = 20 * time.Millisecond
	client := http.Client{Timeout: timeout}
	var s strategies.IOTimeout
	err := s.Do(context.Background(), timeout, func(context.Context) error {
		resp, err := client.Get(server.URL)
		if err != nil {
			return err
		}
		return resp.Body.Close()
	})
	fmt.Println(errors.Is(err, strategies.ErrTimeout), errors.Is(err, context.DeadlineExceeded))
	// Output: true true
}

// Value returns the result of an op that was not cut, under a strategy that may abandon the op.
func ExampleValue() {
	var s strategies.GoroutineAbandon
	var answer strategies.Value[int]
	err := s.Do(context.Background(), time.Minute, answer.Op(func(context.Context) (int, error) {
		return 6 * 7, nil
	}))
	if err != nil {
		fmt.Println(err)
		return
	}
	n, ok := answer.Get()
	fmt.Println(n, ok)
	// Output: 42 true
}
