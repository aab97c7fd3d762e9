//go:build linux

// Command bench measures the drivers of bad networks beside each other and
// beside toxiproxy, and prints what was asked, what was measured and the bar
// that it has to meet, as tables for the README.
//
// Both networks are measured in one process at once or in turns: in it the
// loopback's 127.0.0.1 is the driver's, and another address of the same
// loopback is left as it is. An outlier that both have is the machine's.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"

	"gotimeout/internal/badnet/private"

	"golang.org/x/sys/unix"
)

func main() {
	if err := run(context.Background(), os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	switch {
	case len(args) == 1 && args[0] == "ping": // what network run runs
		return pingHere()
	case len(args) != 1:
		return errors.New("it needs one argument, the path of gotimeout: go build -o /tmp/gotimeout ./cmd/gotimeout")
	case private.Inside():
		return inside()
	}
	machine()
	before := stolen()
	defer func() {
		fmt.Printf("\nProcessor time that the machine's host took meanwhile: %s, in pauses that every row has its share of.\n", stolen()-before)
	}()
	status, err := private.Run(private.Outside{})
	if err == nil && status != 0 {
		err = errors.New("the part in a private network has failed")
	}
	if err != nil {
		return err
	}
	return programs(ctx, args[0])
}

// inside measures in a private network.
func inside() error {
	if _, err := private.Enter(false); err != nil {
		return err
	}
	if err := addPlain(); err != nil {
		return err
	}
	for _, part := range []func() error{withNetem, withTUN} {
		if err := part(); err != nil {
			return err
		}
	}
	return nil
}

// stolen is for how long a processor of this virtual machine had to wait for
// one of its host.
func stolen() time.Duration {
	const tick, steal = 10 * time.Millisecond, 8
	text, _ := os.ReadFile("/proc/stat")
	fields := strings.Fields(string(text))
	if len(fields) <= steal {
		return 0
	}
	ticks, _ := strconv.Atoi(fields[steal])
	return time.Duration(ticks) * tick
}

// machine names what the figures were measured on.
func machine() {
	cpu := "unknown processor"
	text, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(text)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			cpu = strings.TrimSpace(value)
		}
	}
	var u unix.Utsname
	_ = unix.Uname(&u)
	load, _ := os.ReadFile("/proc/loadavg")
	fmt.Printf("%d × %s, Linux %s, %s; load average before: %s\n\n",
		runtime.NumCPU(), cpu, unix.ByteSliceToString(u.Release[:]), runtime.Version(), strings.Join(strings.Fields(string(load))[:1], ""))
}
