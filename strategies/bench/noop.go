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

// row is one way to bound an op that does nothing.
type row struct {
	name string
	call func(ctx context.Context) error
}

// bars says which of the rows a strategy is held against, and how.
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

func rows() []row {
	var all []row
	for _, s := range strategies.All() {
		all = append(all, row{s.Name, func(ctx context.Context) error { return s.Do(ctx, noopTimeout, op) }})
	}
	return append(all, peers()...)
}

func peers() []row {
	timer := time.NewTimer(time.Hour)
	policy := failsafe.With(failsafetimeout.New[any](noopTimeout))
	bound := deadline.New(noopTimeout)
	handler := http.TimeoutHandler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { _ = op(r.Context()) }), noopTimeout, "")
	request := httptest.NewRequest(http.MethodGet, "/", nil)
	return []row{
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
			return bound.Run(func(<-chan struct{}) error { return op(ctx) })
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

// noop prints what each costs around an op that does nothing.
func noop() error {
	testing.Init()
	if err := flag.Set("test.benchtime", "200ms"); err != nil {
		return err
	}
	const rounds = 9
	all := rows()
	ns := map[string][]float64{}
	last := map[string]testing.BenchmarkResult{}
	for range rounds {
		for _, r := range all {
			result := testing.Benchmark(func(b *testing.B) {
				b.ReportAllocs()
				ctx := b.Context()
				for b.Loop() {
					if err := r.call(ctx); err != nil {
						b.Fatal(err)
					}
				}
			})
			ns[r.name] = append(ns[r.name], float64(result.T.Nanoseconds())/float64(result.N))
			last[r.name] = result
		}
	}
	fmt.Printf("A no-op under a timeout of %s, median of %d rounds:\n\n| | ns/op | B/op | allocs/op |\n|---|--:|--:|--:|\n", noopTimeout, rounds)
	for _, r := range all {
		fmt.Printf("| %s | %.1f | %d | %d |\n", r.name, median(ns[r.name]), last[r.name].AllocedBytesPerOp(), last[r.name].AllocsPerOp())
	}
	fmt.Print("\n| | beside | ratio | bar | |\n|---|---|--:|--:|---|\n")
	for _, bar := range bars {
		ratio := median(ratios(ns[bar.name], ns[bar.beside]))
		fmt.Printf("| %s | %s | %.2f | ≤ %.2f | %s |\n", bar.name, bar.beside, ratio, bar.atMost, verdict(ratio <= bar.atMost))
	}
	return nil
}

// ratios divides round by round, so that a drift of the machine cancels out.
func ratios(a, b []float64) []float64 {
	out := make([]float64, len(a))
	for i := range a {
		out[i] = a[i] / b[i]
	}
	return out
}
