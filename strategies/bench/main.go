// Command bench measures the strategies beside their peers and prints tables
// with ratios: "bench noop" around an op that does nothing, "bench load" over
// HTTP with wrk beside a bare handler. It is a module of its own, so that the
// peers are no dependency of the lab.
//
// These are comparisons within one run, on a machine that is otherwise idle:
// each round measures every row once, and a ratio is the median of the rounds'.
package main

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"

	"github.com/mccutchen/go-httpbin/v2/httpbin"
)

func main() {
	if err := run(context.Background(), os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	switch {
	case len(args) == 1 && args[0] == "noop":
		machine()
		return noop()
	case len(args) == 2 && args[0] == "load":
		machine()
		return load(ctx, args[1])
	case len(args) == 2 && args[0] == "bare":
		return bare(ctx, args[1])
	case len(args) == 1 && args[0] == "httpbin":
		return serve(ctx, httpbin.New())
	}
	return fmt.Errorf("%q: use noop, or load with the path of gotimeout", strings.Join(args, " "))
}

// machine names what the figures were measured on.
func machine() {
	cpu := "unknown processor"
	if text, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(text)) {
			if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
				cpu = strings.TrimSpace(value)
			}
		}
	}
	fmt.Printf("%s, %s/%s, %d × %s\n\n", runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), cpu)
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	if len(sorted) == 0 {
		return 0
	}
	return sorted[len(sorted)/2]
}

// verdict holds a figure against its bar.
func verdict(met bool) string {
	if met {
		return "met"
	}
	return "MISSED"
}
