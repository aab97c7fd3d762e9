// Command bench measures the lab beside its peers and prints tables with the bar
// that each figure has to meet. It is a module of its own, so that the peers are
// no dependency of the lab. scripts/bench builds and runs it.
//
// Every figure is a comparison within one run, on a machine that is otherwise idle. The
// compared programs take turns, so that a drift of the machine affects all of them. A ratio
// is the median of the rounds' ratios, with its 95% interval: a bar is missed only where
// the whole interval is on the wrong side.
package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/mccutchen/go-httpbin/v2/httpbin"
)

// built is the directory of the programs that scripts/bench builds.
type built string

func (b built) path(name string) string { return filepath.Join(string(b), name) }

// measurement prints the tables of docs/data/NAME.txt. Only short has no such file: it is for .ci/run.
type measurement struct {
	name string
	run  func(ctx context.Context, b built) error
}

func measurements() []measurement {
	return []measurement{{"noop", noop}, {"load", load}, {"network", network}, {"generator", generator}, {"start", start}, {"flood", flood}, {"faults", faults}, {"soak", soak}, {"short", short}}
}

func main() {
	if err := run(context.Background(), os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) > 1 && args[0] == "as" {
		return part(ctx, args[1], args[2:])
	}
	var names []string
	for _, m := range measurements() {
		if len(args) == 2 && args[0] == m.name {
			return m.run(ctx, built(args[1]))
		}
		names = append(names, m.name)
	}
	return fmt.Errorf("the arguments are %q: give one of %s, and the directory of what scripts/bench builds", args, strings.Join(names, ", "))
}

// part runs this program as one of the processes that a measurement starts.
func part(ctx context.Context, name string, args []string) error {
	switch {
	case name == "bare" && len(args) == 1:
		return serveBare(ctx, args[0])
	case name == "httpbin" && len(args) < 2:
		return serve(ctx, append(args, freePort)[0], httpbin.New())
	case name == "nats" && len(args) == 2:
		return serveNATS(ctx, args[0], args[1])
	case name == "lab-noop":
		return serve(ctx, freePort, labNoop)
	case name == "pings":
		return printPings()
	case name == "flows" && len(args) == 2:
		return printFlows(args[0], args[1])
	case name == "outside" && len(args) == 2:
		return printOutside(args[0], args[1])
	case name == "outside-100" && len(args) == 2:
		return printOutside100(args[0], args[1])
	}
	return fmt.Errorf("no part of a measurement is called %q", name)
}
