//go:build linux

package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const starts = 20

// programs measures gotimeout itself.
func programs(ctx context.Context, gotimeout string) error {
	fmt.Printf("gotimeout, from its start:\n\n")
	header()
	var ready []time.Duration
	for range starts {
		began := time.Now()
		out, err := exec.CommandContext(ctx, gotimeout, "network", "run", "delay=50ms", "--", "date", "+%s%N").Output()
		if err != nil {
			return fmt.Errorf("network run: %w", err)
		}
		at, err := strconv.ParseInt(strings.TrimSpace(string(out)), 10, 64)
		if err != nil {
			return fmt.Errorf("date printed %q: %w", out, err)
		}
		ready = append(ready, time.Unix(0, at).Sub(began))
	}
	slices.Sort(ready)
	row("`network run` until the command runs, median, max", "auto", "", ms(quantile(ready, 0.5))+", "+ms(ready[starts-1]), "100 ms", ready[starts-1] <= 100*time.Millisecond)
	if err := pingInside(ctx, gotimeout); err != nil {
		return err
	}
	return serving(ctx, gotimeout)
}

// pingInside runs this program's pings on a network of gotimeout's.
func pingInside(ctx context.Context, gotimeout string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	out, err := exec.CommandContext(ctx, gotimeout, "network", "run", "delay=50ms", "--", self, "ping").Output()
	if err != nil {
		return fmt.Errorf("network run: %w", err)
	}
	var dial, p50, p99 time.Duration
	if _, err := fmt.Sscan(string(out), (*int64)(&dial), (*int64)(&p50), (*int64)(&p99)); err != nil {
		return fmt.Errorf("the pings printed %q: %w", out, err)
	}
	const asked = 100 * time.Millisecond
	row("a TCP ping in it, p50", "auto", ms(asked), ms(p50), "± 1 ms", (p50-asked).Abs() <= time.Millisecond)
	row("a TCP ping in it, p99", "auto", ms(asked), ms(p99), "± 3 ms", (p99-asked).Abs() <= 3*time.Millisecond)
	return nil
}

// serving measures the lab's start, once it has a network.
func serving(ctx context.Context, gotimeout string) error {
	help, err := exec.CommandContext(ctx, gotimeout, "serve", "--help").Output()
	if err != nil {
		return fmt.Errorf("serve --help: %w", err)
	}
	if !strings.Contains(string(help), "--network=") {
		return nil
	}
	var took []time.Duration
	for range 5 {
		d, err := serve(ctx, gotimeout)
		if err != nil {
			return err
		}
		took = append(took, d)
	}
	worst := slices.Max(took)
	row("`serve --network=delay=50ms` until it serves, median, max", "auto", "", ms(median(took))+", "+ms(worst), "1500 ms", worst <= 1500*time.Millisecond)
	return nil
}

func serve(ctx context.Context, gotimeout string) (time.Duration, error) {
	cmd := exec.CommandContext(ctx, gotimeout, "serve", "--addr=127.0.0.1:0", "--network=delay=50ms")
	log, err := cmd.StderrPipe()
	if err != nil {
		return 0, err
	}
	began := time.Now()
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	defer func() { _ = cmd.Wait() }() // it ends as a signal ended it
	last := ""
	for lines := bufio.NewScanner(log); lines.Scan(); {
		if last = lines.Text(); strings.Contains(last, "msg=serving") {
			took := time.Since(began)
			return took, cmd.Process.Signal(syscall.SIGTERM)
		}
	}
	return 0, fmt.Errorf("serve ended before it served: %s", last)
}
