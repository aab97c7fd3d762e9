//go:build linux

// Command bench measures what compare and the receipts cost, and prints each
// figure with the bar that it has to meet, as tables for the README.
//
// What a figure is compared with is measured in the same run, in turns: an
// outlier that both have is the machine's.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"gotimeout/internal/machine"
)

func main() {
	if err := run(context.Background(), os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	switch {
	case len(args) == 1 && args[0] == "noop": // the server that is loaded
		return noop()
	case len(args) != 1:
		return errors.New("it needs one argument, the directory of what scripts/bench builds")
	}
	this := machine.This()
	load, _ := os.ReadFile("/proc/loadavg")
	fmt.Printf("%d × %s, Linux %s, %s; load average before: %s\n\n",
		this.Processors, this.CPU, this.Kernel, this.Go, strings.Join(strings.Fields(string(load))[:1], ""))
	built := built(args[0])
	for _, part := range []func(context.Context) error{built.sender, built.receipts, built.report} {
		if err := part(ctx); err != nil {
			return err
		}
	}
	return nil
}
