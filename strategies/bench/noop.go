package main

import (
	"context"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"gotimeout/strategies"

	"github.com/eapache/go-resiliency/deadline"
	"github.com/failsafe-go/failsafe-go"
	failsafetimeout "github.com/failsafe-go/failsafe-go/timeout"
	"golang.org/x/sync/errgroup"
)

const noopTimeout = time.Second

func op(context.Context) error { return nil }

// bound is one way to bound an op that does nothing.
type bound struct {
	name string
	call func(ctx context.Context) error
}

// bars are the ratios that a strategy has to meet beside another bound.
var bars = []struct {
	name, beside string
	atMost       float64
}{
	{"context-cancel", "bare context.WithTimeout", 1.10},
	{"goroutine-abandon", "bare goroutine", 1.10},
	{"goroutine-abandon", "failsafe-go", 1},
	{"goroutine-abandon", "go-resiliency", 1},
	{"goroutine-abandon", "http.TimeoutHandler", 1},
	{"timer-panic", "bare context.WithTimeout", 0.5},
	{"errgroup", "bare errgroup", 1.10},
}

func bounds() []bound {
	var all []bound
	for _, s := range strategies.All() {
		all = append(all, bound{s.Name, func(ctx context.Context) error { return s.Do(ctx, noopTimeout, op) }})
	}
	return append(all, peers()...)
}

func peers() []bound {
	timer := time.NewTimer(time.Hour)
	policy := failsafe.With(failsafetimeout.New[any](noopTimeout))
	limit := deadline.New(noopTimeout)
	handler := http.TimeoutHandler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { _ = op(r.Context()) }), noopTimeout, "")
	request := httptest.NewRequest(http.MethodGet, "/", nil)
	return []bound{
		{"bare context.WithTimeout", func(ctx context.Context) error {
			ctx, cancel := context.WithTimeout(ctx, noopTimeout)
			defer cancel()
			return op(ctx)
		}},
		{"bare goroutine", func(ctx context.Context) error {
			done := make(chan error, 1)
			go func() { done <- op(ctx) }()
			timer.Reset(noopTimeout)
			defer timer.Stop()
			select {
			case err := <-done:
				return err
			case <-timer.C:
				return context.DeadlineExceeded
			}
		}},
		{"bare errgroup", func(ctx context.Context) error {
			ctx, cancel := context.WithTimeout(ctx, noopTimeout)
			defer cancel()
			group, ctx := errgroup.WithContext(ctx)
			group.Go(func() error { return op(ctx) })
			return group.Wait()
		}},
		{"failsafe-go", func(ctx context.Context) error {
			return policy.WithContext(ctx).RunWithExecution(func(e failsafe.Execution[any]) error { return op(e.Context()) })
		}},
		{"go-resiliency", func(ctx context.Context) error {
			return limit.Run(func(<-chan struct{}) error { return op(ctx) })
		}},
		{"http.TimeoutHandler", func(context.Context) error {
			handler.ServeHTTP(nowhere{}, request)
			return nil
		}},
	}
}

// nowhere is a response that nobody reads.
type nowhere struct{}

func (nowhere) Header() http.Header         { return http.Header{} }
func (nowhere) Write(b []byte) (int, error) { return len(b), nil }
func (nowhere) WriteHeader(int)             {}

// noop prints what each bound costs around an op that does nothing.
func noop(context.Context, built) error {
	testing.Init()
	if err := flag.Set("test.benchtime", "200ms"); err != nil {
		return err
	}
	const rounds = 9
	all := bounds()
	ns := map[string][]float64{}
	last := map[string]testing.BenchmarkResult{}
	for range rounds {
		for _, of := range all {
			result := testing.Benchmark(func(b *testing.B) {
				b.ReportAllocs()
				ctx := b.Context()
				for b.Loop() {
					if err := of.call(ctx); err != nil {
						b.Fatal(err)
					}
				}
			})
			ns[of.name] = append(ns[of.name], float64(result.T.Nanoseconds())/float64(result.N))
			last[of.name] = result
		}
	}
	fmt.Printf("A no-op under a timeout of %s, median of %d rounds:\n\n", noopTimeout, rounds)
	header("", "ns/op", "B/op", "allocs/op")
	for _, of := range all {
		row(of.name, fmt.Sprintf("%.1f", median(ns[of.name])), fmt.Sprint(last[of.name].AllocedBytesPerOp()), fmt.Sprint(last[of.name].AllocsPerOp()))
	}
	fmt.Print("\n| | beside | ratio | bar | |\n|---|---|--:|--:|---|\n")
	for _, bar := range bars {
		ratio := median(ratios(ns[bar.name], ns[bar.beside]))
		fmt.Printf("| %s | %s | %.2f | ≤ %.2f | %s |\n", bar.name, bar.beside, ratio, bar.atMost, verdict(ratio <= bar.atMost))
	}
	return nil
}
