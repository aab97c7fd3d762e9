package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"gotimeout/internal/badnet"
	"gotimeout/internal/badnet/check"
	"gotimeout/internal/badnet/drivers"
	"gotimeout/internal/badnet/private"
)

type networkCheckCmd struct {
	Driver  string   `default:"auto" enum:"auto,netem,tun,proxy" help:"What makes the network bad: netem, the kernel's; tun, our shaper of packets; proxy, of connections; auto, the first that works here (${enum})."`
	JSON    bool     `help:"Print the figures as one JSON object."`
	Profile []string `arg:"" help:"A preset, as 3g, or keys, as 'delay=100ms jitter=20ms,normal loss=1%,burst=3 rate=1mbit'."`
}

// Help is what the help says beyond the flags. kong calls it.
func (networkCheckCmd) Help() string {
	return `It makes a private network as bad as the profile says and measures it: dials,
round trips, and the packets of each way, up towards the server and down from
it. A time may be off by 1 ms and 2%, a rate by 2%, a share by 0.5 percentage
points; where it is a matter of chance, the error of the sample comes on top.

  gotimeout network check flaky-wifi
  gotimeout network check delay=20ms down.rate=2mbit --driver=tun

--json prints driver, why, profile, ok and outside (a sentence, or ""), and for
dial, round_trip, round_trip_p99, delay_up, delay_down, loss_up, duplicates_up,
reordered_up, rate_up, throughput_up and those down, as far as there are any,
NAME_asked_UNIT, NAME_measured_UNIT and NAME_within_UNIT, where UNIT is ms,
percent or bit_s and null is what did not come back, and NAME_verdict, which is
ok, outside or not judged.

The exit status is 0 where all is as asked, 1 where something is not, and 125
where there is no such network here.`
}

// Run measures the network. kong calls it.
func (c *networkCheckCmd) Run(ctx context.Context, to streams) error {
	profile, err := badnet.Parse(strings.Join(c.Profile, " "))
	switch {
	case err != nil:
		return refuse(to, err)
	case private.Inside():
		return c.inside(ctx, to, profile)
	case c.Driver == badnet.Proxy:
		return c.proxy(ctx, to, profile, "it was asked for")
	}
	status, err := private.Run(private.Outside{})
	var refused *private.RefusedError
	switch {
	case errors.As(err, &refused) && c.Driver == badnet.Auto:
		return c.proxy(ctx, to, profile, "it needs no private network, and there is none: "+err.Error())
	case err != nil:
		return refuse(to, err)
	}
	return exitStatus(status)
}

// inside measures in the private network.
func (c *networkCheckCmd) inside(ctx context.Context, to streams, profile badnet.Profile) error {
	process, err := private.Enter(false)
	if err != nil {
		return exitStatus(exitNoNetwork) // the outside tells
	}
	loopback, err := drivers.OpenLoopback(c.Driver, profile, 1)
	if err != nil {
		return errors.Join(process.Refuse(oneLine(err)), exitStatus(exitNoNetwork))
	}
	ctx = signalled(ctx, process)
	measured, err := check.Packets(ctx, loopback)
	if ctx.Err() != nil {
		return exitStatus(exitInterrupted)
	}
	return c.report(to, measured, err)
}

func (c *networkCheckCmd) proxy(ctx context.Context, to streams, profile badnet.Profile, why string) error {
	measured, err := check.Proxy(ctx, profile, why)
	if errors.Is(err, badnet.ErrCannot) {
		return refuse(to, err)
	}
	return c.report(to, measured, err)
}

func (c *networkCheckCmd) report(to streams, check *check.Check, err error) error {
	if err != nil {
		return err
	}
	if c.JSON {
		lines := json.NewEncoder(to.out)
		lines.SetIndent("", "  ")
		err = lines.Encode(check)
	} else {
		err = printCheck(to.out, check)
	}
	if outside := check.Outside(); err == nil && outside != "" {
		return errors.New(outside)
	}
	return err
}

// printCheck prints what was asked beside what was measured.
func printCheck(to io.Writer, c *check.Check) error {
	const width = 80
	fmt.Fprintf(to, "profile     %s\n", wrap(c.Profile.String(), 12, width))
	fmt.Fprintf(to, "driver      %s\n", wrap(c.Driver+", since "+c.Why, 12, width))
	fmt.Fprintf(to, "round trip  %s, for a delay is one way\n", roundTrip(c.Profile))
	if c.Driver == badnet.Proxy {
		fmt.Fprintln(to, "dial        +0s, for a proxy answers it by itself")
	}
	fmt.Fprintln(to)
	lines := tabwriter.NewWriter(to, 0, 0, 2, ' ', 0)
	fmt.Fprintln(lines, "what\tasked\tmeasured\tverdict")
	for _, f := range check.Merge(c.Figures) {
		fmt.Fprintf(lines, "%s\t%s\t%s\t%s\n", strings.TrimSpace(f.What+" "+f.Way), f.AskedText(), f.MeasuredText(), f.VerdictText())
	}
	return lines.Flush()
}

// wrap breaks a text into lines of a width, the first of which is begun with as
// many spaces as the others get.
func wrap(text string, indent, width int) string {
	var out strings.Builder
	column := indent
	for i, word := range strings.Fields(text) {
		switch n := len([]rune(word)); {
		case i == 0:
			column += n
		case column+1+n > width:
			out.WriteString("\n" + strings.Repeat(" ", indent))
			column = indent + n
		default:
			out.WriteByte(' ')
			column += 1 + n
		}
		out.WriteString(word)
	}
	return out.String()
}

// refuse says why there is no such network, as network run does.
func refuse(to streams, err error) error {
	fmt.Fprintf(to.err, "gotimeout: %s\n", oneLine(err))
	return exitStatus(exitNoNetwork)
}

// oneLine writes joined errors in one.
func oneLine(err error) string { return strings.ReplaceAll(err.Error(), "\n", "; ") }
