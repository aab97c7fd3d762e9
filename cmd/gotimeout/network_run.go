package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"gotimeout/internal/badnet"
	"gotimeout/internal/badnet/drivers"
	"gotimeout/internal/badnet/private"
)

type networkRunCmd struct {
	Driver  string   `default:"auto" enum:"auto,netem,tun" help:"What makes the network bad: netem, the kernel's; tun, our shaper of packets; auto, the first that works here (${enum})."`
	Seed    uint64   `default:"1" help:"Repeats the losses and delays of another run, with tun."`
	Profile string   `arg:"" help:"A preset, as 3g, or keys, as 'delay=100ms jitter=20ms,normal loss=1%,burst=3 rate=1mbit'."`
	Command []string `arg:"" passthrough:"" help:"The command and its arguments, after --."`
}

// Help is what the help says beyond the flags. kong calls it.
func (networkRunCmd) Help() string {
	return `The command runs unchanged, as you, in your terminal, on a private loopback that
is as bad as the profile says: 127.0.0.1 is on it, and nothing else. The machine's
own network is neither touched nor reachable from in there, nor is ::1. Whatever
the command starts ends with it. delay is one way: a round trip takes two.

  gotimeout network run 3g -- go test ./...
  gotimeout network run delay=50ms -- sh -c 'memcached & sleep 1; benchmark'

The exit status is the command's, or 125 where there is no such network here. A
summary comes at the end, on stderr. Of the files that you have open, the command
gets all but number 3.`
}

// exitNoNetwork is the exit status where the command was not run, as that of
// docker run and timeout.
const exitNoNetwork = 125

// Run runs the command on the network. kong calls it.
func (c *networkRunCmd) Run(ctx context.Context, to streams) error {
	// What stands before the -- is the profile's.
	words := []string{c.Profile}
	if i := slices.Index(c.Command, "--"); i >= 0 {
		words, c.Command = append(words, c.Command[:i]...), c.Command[i+1:]
	}
	profile, err := profileBefore(words)
	if err == nil && len(c.Command) == 0 {
		err = errors.New("there is no command: write it after --, as in gotimeout network run 3g -- make test")
	}
	if err != nil {
		fmt.Fprintf(to.err, "gotimeout: %v\n", err)
		return exitStatus(exitUsage)
	}
	if private.Inside() {
		return c.inside(ctx, to, profile)
	}
	status, err := private.Run(private.Outside{Processes: true})
	if err != nil {
		return refuse(to, err)
	}
	return exitStatus(status)
}

// profileBefore reads the words before the command.
func profileBefore(words []string) (badnet.Profile, error) {
	for _, word := range words {
		if strings.HasPrefix(word, "-") {
			return badnet.Profile{}, fmt.Errorf("unknown flag %s: there are --driver and --seed", word)
		}
	}
	profile, err := badnet.Parse(strings.Join(words, " "))
	if err != nil && len(words) > 1 {
		err = fmt.Errorf("%w (what stands before -- is the profile)", err)
	}
	return profile, err
}

// inside runs the command in the private network.
func (c *networkRunCmd) inside(ctx context.Context, to streams, profile badnet.Profile) error {
	process, err := private.Enter(true)
	if err != nil {
		return exitStatus(exitNoNetwork) // the outside tells
	}
	loopback, err := drivers.OpenLoopback(c.Driver, profile, c.Seed)
	if err != nil {
		return errors.Join(process.Refuse(err.Error()), exitStatus(exitNoNetwork))
	}
	// Beside the command, which is not to wait for it.
	calibrated := make(chan error, 1)
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	go func() { calibrated <- loopback.Calibrate(ctx) }()
	status, err := process.Command(c.Command)
	cancel()
	if failed := <-calibrated; failed != nil {
		fmt.Fprintf(to.err, "gotimeout: %v\n", failed)
		status = exitNoNetwork
	}
	if err != nil {
		fmt.Fprintf(to.err, "gotimeout: %v\n", err)
	}
	fmt.Fprintf(to.err, "gotimeout: %s\n", loopback.Summary())
	return exitStatus(status)
}
