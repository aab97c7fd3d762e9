package main

import (
	"context"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"gotimeout/internal/stats"
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

// bar is the highest ratio of a strategy's time to that of another bound.
type bar struct {
	name, beside string
	atMost       float64
}

var bars = []bar{
	{"context-cancel", "bare context.WithTimeout", 1.05},
	{"goroutine-abandon", "bare goroutine", 1.05},
	{"goroutine-abandon", "failsafe-go", 0.75},
	{"goroutine-abandon", "go-resiliency", 0.65},
	{"goroutine-abandon", "http.TimeoutHandler", 0.40},
	{"timer-panic", "bare context.WithTimeout", 0.30},
	{"errgroup", "bare errgroup", 1.00},
}

func bounds() []bound {
	var all []bound
	ops := []strategies.Op{op} // made once: a slice for each call would add to the measured time
	for _, s := range strategies.All() {
		all = append(all, bound{s.Name, func(ctx context.Context) error { return s.Do(ctx, noopTimeout, ops...) }})
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

// nowhere is a ResponseWriter that drops the response.
type nowhere struct{}

func (nowhere) Header() http.Header         { return http.Header{} }
func (nowhere) Write(b []byte) (int, error) { return len(b), nil }
func (nowhere) WriteHeader(int)             {}

// noopRounds and noopTime make noop last about a minute and a half.
const (
	noopRounds = 11
	noopTime   = "200ms"
)

// noop prints the cost of each bound around an op that does nothing. A strategy and the
// bound that it is compared with are measured right after each other.
func noop(context.Context, built) error {
	testing.Init()
	if err := flag.Set("test.benchtime", noopTime); err != nil {
		return err
	}
	all := bounds()
	ns := map[string][]float64{}
	last := map[string]testing.BenchmarkResult{}
	measure := func(name string) float64 {
		call := all[slices.IndexFunc(all, func(b bound) bool { return b.name == name })].call
		result := testing.Benchmark(func(b *testing.B) {
			b.ReportAllocs()
			ctx := b.Context()
			for b.Loop() {
				if err := call(ctx); err != nil {
					b.Fatal(err)
				}
			}
		})
		took := float64(result.T.Nanoseconds()) / float64(result.N)
		ns[name], last[name] = append(ns[name], took), result
		return took
	}
	beside := make([][]float64, len(bars))
	for range noopRounds {
		for i, bar := range bars {
			beside[i] = append(beside[i], measure(bar.name)/measure(bar.beside))
		}
		for _, of := range all {
			if !slices.ContainsFunc(bars, func(b bar) bool { return b.name == of.name || b.beside == of.name }) {
				measure(of.name)
			}
		}
	}
	fmt.Printf("A no-op under a timeout of %s, median of %d rounds or more:\n\n", noopTimeout, noopRounds)
	header("", "ns/op", "B/op", "allocs/op")
	for _, of := range all {
		row(of.name, fmt.Sprintf("%.1f", stats.Median(ns[of.name])), fmt.Sprint(last[of.name].AllocedBytesPerOp()), fmt.Sprint(last[of.name].AllocsPerOp()))
	}
	fmt.Printf("\nThe median of the ratios of %d pairs, with its 95%% interval:\n\n| | beside | ratio | bar | |\n|---|---|--:|--:|---|\n", noopRounds)
	for i, bar := range bars {
		ratio := estimateOf(beside[i])
		row(bar.name, bar.beside, ratio.text("%.2f"), fmt.Sprintf("≤ %.2f", bar.atMost), ratio.atMost(bar.atMost).String())
	}
	return nil
}
