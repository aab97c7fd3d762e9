// Package strategies bounds the wait for slow work in each way that Go offers:
// one type a way, all with the same method Do, so that a program can compare
// them and swap one for another.
//
// A strategy decides when the caller stops waiting. It cannot stop the work: no
// goroutine can be killed or made to panic from outside
// (https://go.dev/issue/25664, https://go.dev/issue/27960). What the work does
// after the caller has its answer depends on the op: an aware op returns soon
// after its context is done, a deaf op ignores its context. The doc of each
// strategy says what it leaves behind in either case.
//
// # Which one to use
//
//   - [ContextCancel], where the client honours its context, as net/http and
//     database/sql do: the caller returns on time, and no goroutine is left.
//   - [IOTimeout], where the client ignores its context and has timeouts of its
//     own, as gomemcache does. Give the client its timeouts; the strategy makes
//     the client's error match [ErrTimeout].
//   - [ServerLimit], for a database: nothing runs on, and the connection is kept.
//     Put it under a ContextCancel with a longer timeout, for a server or a
//     network that doesn't answer at all.
//   - [Errgroup], where several calls run at once and the first error should
//     cancel the others. It returns late if one of them is deaf.
//   - [GoroutineAbandon], where a call can be neither cancelled nor bounded and
//     the caller must still answer on time. Every abandoned call keeps its
//     goroutine and its connection, so bound how many calls may be in flight.
//   - [TimerPanic], to see what a timeout by panic, as Python's
//     gevent.Timeout, comes to in Go: it returns no sooner than ContextCancel,
//     and it throws away a result that came late.
//   - [SubprocessKill], for work that must end at the timeout though it checks
//     nothing, such as a computation in C: only the end of its process ends it.
//     A start of a process is the price of each run.
//   - [Offload], where the work takes longer than a caller should wait: the caller
//     has an address at once, and asks there for the result.
//   - [Baseline], to measure what the call takes without a bound.
//
// # Use a strategy in your own program
//
// The module has no published version. Clone it beside your module, and run
// there:
//
//	go mod edit -require=gotimeout@v0.0.0 -replace=gotimeout=../goTimeout
//	go mod tidy
//
// The package imports the standard library and golang.org/x/sync alone. Keep
// one strategy for the life of the program, because some reuse their timers,
// and take a result out of the op by a [Value]:
//
//	package main
//
//	import (
//		"context"
//		"errors"
//		"fmt"
//		"time"
//
//		"gotimeout/strategies"
//	)
//
//	var strategy strategies.ContextCancel
//
//	func main() {
//		var answer strategies.Value[string]
//		err := strategy.Do(context.Background(), time.Second, answer.Op(ask))
//		if errors.Is(err, strategies.ErrTimeout) {
//			fmt.Println("no answer within a second")
//			return
//		}
//		text, _ := answer.Get()
//		fmt.Println(text, err)
//	}
//
//	// ask is the slow call.
//	func ask(ctx context.Context) (string, error) { return "an answer", ctx.Err() }
//
// # What the package refuses
//
// It knows nothing of HTTP, receipts or backends, never retries, and starts no
// goroutine that outlives both its caller and its ops.
package strategies
