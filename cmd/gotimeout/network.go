package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"gotimeout/internal/badnet"
	"gotimeout/internal/badnet/check"
	"gotimeout/internal/badnet/drivers"
	"gotimeout/internal/badnet/netem"
	"gotimeout/internal/badnet/private"
	"gotimeout/internal/prose"
)

// networkCmd joins the commands about bad networks.
type networkCmd struct {
	Run     networkRunCmd     `cmd:"" help:"Run a program on a private bad network, without root."`
	Graph   networkGraphCmd   `cmd:"" help:"Draw a log of network run as a page: throughput, queue, delay and drops over time."`
	Check   networkCheckCmd   `cmd:"" help:"Measure a bad network: the figures that were asked for beside those that are measured."`
	Drivers networkDriversCmd `cmd:"" help:"List the drivers, and which of them work here."`
	Presets networkPresetsCmd `cmd:"" help:"List the presets, what they are for tc, and where their figures are from."`
	Set     networkSetCmd     `cmd:"" help:"Make a real link of this machine bad, by the kernel's netem. This is meant for the lab VM: every other program on the machine has that network too."`
	Reset   networkResetCmd   `cmd:"" help:"Make a link good again that network set has made bad."`
	Show    networkShowCmd    `cmd:"" help:"Show which network netem makes on each link of this machine."`
}

// driverLists are the placeholders of the lists of drivers in the tags, each with its list.
func driverLists() (lists []string) {
	for name, all := range map[string][]string{
		"drivers": drivers.Names(), "bad_drivers": drivers.BadNames(), "packet_drivers": drivers.PacketNames(),
	} {
		lists = append(lists, "{"+name+"}", strings.Join(all, ","), "{"+name+"_help}", drivers.Help(all))
	}
	return lists
}

// printJSON prints the JSON of a command instead of its table.
func printJSON(to io.Writer, v any) error {
	lines := json.NewEncoder(to)
	lines.SetIndent("", "  ")
	return lines.Encode(v)
}

type networkPresetsCmd struct {
	JSON bool `help:"Print the presets as a JSON array."`
}

// Run prints the presets. kong calls it.
func (c networkPresetsCmd) Run(to streams) error {
	if c.JSON {
		var all []shownPreset
		for _, p := range badnet.Presets() {
			all = append(all, shownPreset{p})
		}
		return printJSON(to.out, all)
	}
	for i, p := range badnet.Presets() {
		if i > 0 {
			fmt.Fprintln(to.out)
		}
		width := to.columns(to.out)
		fmt.Fprintf(to.out, "%s\n  %s\n", p.Name, prose.Hang(p.Doc, 2, width))
		printFact(to.out, 2, width, "profile", p.Profile.String())
		printFact(to.out, 2, width, "round trip", roundTrip(p.Profile))
		up, down := tcOf(p.Profile.Up), tcOf(p.Profile.Down)
		if up == down {
			printFact(to.out, 2, width, "tc", up)
		} else {
			printFact(to.out, 2, width, "tc up", up)
			printFact(to.out, 2, width, "tc down", down)
		}
		printFact(to.out, 2, width, "source", p.Source)
	}
	return nil
}

// tcOf returns a Link in the words of tc for an Ethernet device, or why tc has none.
func tcOf(l badnet.Link) string {
	text, err := netem.TC(l)
	if err != nil {
		return err.Error()
	}
	return text
}

// shownPreset adds the words of tc to the JSON of a preset.
type shownPreset struct{ badnet.Preset }

// MarshalJSON writes null where tc has no words for a direction.
func (p shownPreset) MarshalJSON() ([]byte, error) {
	var tc struct {
		Up   *string `json:"up"`
		Down *string `json:"down"`
	}
	if text, err := netem.TC(p.Profile.Up); err == nil {
		tc.Up = &text
	}
	if text, err := netem.TC(p.Profile.Down); err == nil {
		tc.Down = &text
	}
	words, err := json.Marshal(tc)
	if err != nil {
		return nil, err
	}
	preset, err := json.Marshal(p.Preset)
	if err != nil {
		return nil, err
	}
	return fmt.Appendf(preset[:len(preset)-1], `,"tc":%s}`, words), nil
}

// printFact prints a label and a text in two columns, which begin at indent.
func printFact(to io.Writer, indent, width int, label, text string) {
	fmt.Fprintf(to, "%*s%-12s%s\n", indent, "", label, prose.Hang(text, indent+12, width))
}

// roundTrip returns the round trip of a profile, because its delays are one-way.
func roundTrip(p badnet.Profile) string {
	if p.Up.Arrives()*p.Down.Arrives() == 0 {
		return "none comes back"
	}
	return "+" + p.RoundTrip().Round(time.Microsecond).String()
}

type networkCheckCmd struct {
	Driver  string   `default:"auto" enum:"{bad_drivers}" help:"What makes the network bad: {bad_drivers_help}."`
	JSON    bool     `help:"Print the figures as one JSON object."`
	Profile []string `arg:"" predictor:"profile" help:"A preset such as 3g, keys such as 'delay=100ms jitter=20ms,normal loss=1%,burst=3 rate=1mbit', or words of tc such as 'delay 100ms loss 1%'."`
}

// Help returns the text of the help above the flags. kong calls it.
func (networkCheckCmd) Help() string {
	return `It makes a private network as bad as the profile says and measures it: dials,
round trips, and the packets of each way, up towards the server and down from
it. A time may be off by 1 ms and 2%, a rate by 2%, a share by 0.5 percentage
points; where it is a matter of chance, the error of the sample comes on top.

  gotimeout network check flaky-wifi
  gotimeout network check delay=20ms down.rate=2mbit --driver=tun

--json prints driver, why, profile, ok and outside (a sentence, or ""), and for
dial, round_trip, round_trip_p99, dial_ipv6, round_trip_ipv6, delay_up, loss_up,
duplicates_up, reordered_up, rate_up, throughput_up and those down, as far as
there are any, NAME_asked_UNIT, NAME_measured_UNIT and NAME_within_UNIT, where
UNIT is ms, percent or bit_s and null is what did not come back, and
NAME_verdict, which is ok, outside or not judged. Where there is no ::1, its
figures are null and not judged.

The exit status is 0 where all is as asked, 1 where something is not, and 125
where there is no such network here.`
}

// Run measures the network. kong calls it.
func (c *networkCheckCmd) Run(ctx context.Context, to streams) error {
	profile, err := badnet.ParseWithFiles(strings.Join(c.Profile, " "))
	if err != nil {
		return usageError{err}
	}
	byProxy := func(why string) error {
		measured, err := check.Proxy(ctx, profile, why)
		switch {
		case errors.Is(err, badnet.ErrCannot) && c.Driver == badnet.Proxy:
			return usageError{err}
		case errors.Is(err, badnet.ErrCannot):
			return refuse(to, err)
		}
		return c.report(to, measured, err)
	}
	if c.Driver == badnet.Proxy {
		return byProxy("it was asked for")
	}
	return inPrivate(ctx, to, private.Work{
		Inside: func(ctx context.Context, _ *private.Process) (int, error) {
			loopback, err := drivers.OpenLoopback(c.Driver, profile, 1)
			if err != nil {
				return 0, private.Refused(err)
			}
			measured, err := check.Packets(ctx, loopback)
			if ctx.Err() != nil {
				return 0, to.interrupted("the network is not measured")
			}
			return 0, c.report(to, measured, err)
		},
		Refused: func(reason *private.RefusedError) (int, error) {
			if c.Driver != badnet.Auto {
				return 0, reason
			}
			return 0, byProxy("it needs no private network, and there is none: " + reason.Error())
		},
	})
}

func (c *networkCheckCmd) report(to streams, measured *check.Check, err error) error {
	if err != nil {
		return err
	}
	if c.JSON {
		err = printJSON(to.out, measured)
	} else {
		err = printCheck(to.out, measured, to.columns(to.out))
	}
	if outside := measured.Outside(); err == nil && outside != "" {
		return errors.New(outside)
	}
	return err
}

// printCheck prints the requested figures and the measured figures side by side.
func printCheck(to io.Writer, c *check.Check, width int) error {
	printFact(to, 0, width, "profile", c.Profile.String())
	printFact(to, 0, width, "driver", c.Driver+", since "+c.Why)
	printFact(to, 0, width, "round trip", roundTrip(c.Profile)+", for a delay is one way")
	if c.Driver == badnet.Proxy {
		printFact(to, 0, width, "dial", "+0s, for a proxy answers it by itself")
	}
	fmt.Fprintln(to)
	if width < twoColumns {
		for _, f := range check.Merge(c.Figures) {
			text := fmt.Sprintf("%s: asked %s, measured %s, %s", strings.TrimSpace(f.What+" "+f.Way), f.AskedText(), f.MeasuredText(), f.VerdictText())
			fmt.Fprintln(to, prose.Hang(text, 2, width))
		}
		return nil
	}
	lines := tabwriter.NewWriter(to, 0, 0, 2, ' ', 0)
	fmt.Fprintln(lines, "what\tasked\tmeasured\tverdict")
	for _, f := range check.Merge(c.Figures) {
		fmt.Fprintf(lines, "%s\t%s\t%s\t%s\n", strings.TrimSpace(f.What+" "+f.Way), f.AskedText(), f.MeasuredText(), f.VerdictText())
	}
	return lines.Flush()
}

// inPrivate runs w in a private network, and returns the exit status as an error.
func inPrivate(ctx context.Context, to streams, w private.Work) error {
	status, err := w.Do(ctx)
	switch {
	case errors.As(err, new(*private.RefusedError)), errors.As(err, new(*private.KilledError)):
		return refuse(to, err)
	case err != nil || status == 0:
		return err
	}
	return exitStatus(status)
}

// refuse prints why there is no such network, or no longer.
func refuse(to streams, err error) error {
	fmt.Fprintf(to.err, "gotimeout: %s\n", prose.OneLine(err))
	return exitStatus(exitNoNetwork)
}

type networkRunCmd struct {
	Driver  string   `default:"auto" enum:"{packet_drivers}" help:"What makes the network bad: {packet_drivers_help}."`
	Seed    uint64   `default:"1" help:"The seed of the random losses and delays. A run with the same seed repeats them, with tun."`
	Outside bool     `help:"Let the command reach what this machine reaches, over the bad network: TCP, UDP, and pings where the system allows them. The driver is tun."`
	Reach   []string `placeholder:"ADDRESS" help:"A port of the machine's loopback that the command reaches at the same address, as in 127.0.0.1:8080 or [::1]:8080. Give the flag for each port."`
	Seen    seen     `embed:""`

	KeepCapabilities bool `help:"As root: leave the command all that root may do. Otherwise it has what concerns files and users, and can change neither the network nor the kernel's settings, nor gain more, as by sudo."`

	Profile string   `arg:"" predictor:"profile" help:"A preset such as 3g, keys such as 'delay=100ms jitter=20ms,normal loss=1%,burst=3 rate=1mbit', or words of tc such as 'delay 100ms loss 1%'."`
	Command []string `arg:"" passthrough:"" help:"The command and its arguments, after --."`
}

// Help returns the text of the help above the flags. kong calls it.
func (networkRunCmd) Help() string {
	return `The command runs unchanged, as you, in your terminal, on a private loopback that
is as bad as the profile says: 127.0.0.1 and ::1 are on it, and nothing else. The
machine's own network is neither touched nor reachable from in there, except for
the ports of --reach and for unix sockets that are files, such as docker.sock.
With --outside everything that the machine reaches is reachable, over the bad
network: the profile comes on top of the way there.
Whatever the command starts ends with it. delay is one way: a round trip takes two.

  gotimeout network run 3g -- go test ./...
  gotimeout network run delay=50ms -- sh -c 'memcached -u nobody & bench'
  gotimeout network run --outside 3g -- curl https://example.com
  gotimeout network run --reach 127.0.0.1:8080 3g -- curl http://127.0.0.1:8080

A network may run inside another: what leaves the inner one by --reach or --outside
crosses both, and the inner loopback is the inner one's alone. Without root, the files of root
appear as nobody's inside, so that ssh refuses its settings in /etc: sudo helps.
With sudo the command is root over files and users, but not over the kernel or the
network, and gains nothing by sudo inside; --keep-capabilities leaves it everything.

  gotimeout network run --log run.jsonl 3g -- go test ./...

--log has a line for each 100 ms, written while the command runs: for up and down the
bytes and packets that were sent and that were delivered, the drops by cause, the
longest queue, and the p50 and p99 of the delay. --pcap has the packets, on four
interfaces: up before, up after, down before and down after the shaper. A packet that
was dropped is before it alone. --meter is a line on the terminal with throughput, queue
and drops. The packets of the calibration are in none of the three.

The exit status is the command's, or 125 where there is no such network here, and
where it ends before the command, which is killed then. A summary comes at the end,
on stderr. Of the files that you have open, the command gets all but number 3.`
}

// exitNoNetwork is the exit status if the command could not be run, or not to its end. docker run
// and timeout use the same.
const exitNoNetwork = 125

// Run runs the command on the network. kong calls it.
func (c *networkRunCmd) Run(ctx context.Context, to streams) error {
	// The words before the -- are the profile.
	words := []string{c.Profile}
	if i := slices.Index(c.Command, "--"); i >= 0 {
		words, c.Command = append(words, c.Command[:i]...), c.Command[i+1:]
	}
	profile, err := profileBefore(words)
	reach, badReach := readReach(c.Reach)
	switch {
	case err != nil:
		return usageError{err}
	case badReach != nil:
		return badReach
	case c.Outside && c.Driver == badnet.Netem:
		return usagef("--outside needs the driver tun: write --driver=tun, or leave --driver out")
	case len(c.Command) == 0:
		return usagef("there is no command: write it after --, as in gotimeout network run 3g -- make test")
	}
	if c.Outside {
		c.Driver = badnet.TUN
		reach = withNames(reach)
	}
	if c.Driver, err = c.Seen.choose(c.Driver); err != nil {
		return err
	}
	return inPrivate(ctx, to, private.Work{
		Outside: private.Outside{Processes: true, Servers: reach.servers(), Anywhere: c.Outside},
		Inside: func(ctx context.Context, p *private.Process) (int, error) {
			return c.inside(ctx, to, profile, reach, p)
		},
	})
}

// profileBefore reads the words before the command.
func profileBefore(words []string) (badnet.Profile, error) {
	for _, word := range words {
		if strings.HasPrefix(word, "-") {
			return badnet.Profile{}, errors.New(prose.Unknown("flag", word, []string{"--driver", "--seed", "--outside", "--reach", "--log", "--pcap", "--meter", "--keep-capabilities"}))
		}
	}
	profile, err := badnet.ParseWithFiles(strings.Join(words, " "))
	if err != nil && len(words) > 1 {
		err = fmt.Errorf("%w (what stands before -- is the profile)", err)
	}
	return profile, err
}

// inside runs the command in the private network.
func (c *networkRunCmd) inside(ctx context.Context, to streams, profile badnet.Profile, reach reachable, p *private.Process) (status int, err error) {
	seen, err := c.Seen.open(to, c.logHeader(profile), profile)
	if err != nil {
		return 0, err
	}
	defer func() { _ = seen.close() }()
	relays, closeReach, err := reach.open(p)
	if err != nil {
		return 0, private.Refused(err)
	}
	loopback, err := drivers.OpenLoopback(c.Driver, profile, c.Seed)
	if err != nil {
		return 0, private.Refused(err)
	}
	closeOutside, err := openOutside(c.Outside, p, loopback, to)
	if err != nil {
		return 0, private.Refused(err)
	}
	if err := seen.watch(loopback); err != nil {
		return 0, err
	}
	// The calibration runs at the same time as the command, which must not wait for it.
	calibrated := make(chan error, 1)
	ctx, cancel := context.WithCancel(ctx)
	go func() { calibrated <- loopback.Calibrate(ctx) }()
	p.KeepCapabilities = c.KeepCapabilities
	status, err = loopback.Command(ctx, p, c.Command, relays...)
	cancel()
	_ = closeReach()          // the connections end with the command
	unwritten := seen.close() // and takes the meter from the terminal
	closeOutside()
	failed, ended := <-calibrated, new(drivers.EndedError)
	if errors.As(err, &ended) {
		failed = nil // the calibration's was the same
		status = exitNoNetwork
	}
	if failed != nil {
		fmt.Fprintf(to.err, "gotimeout: %v\n", failed)
		status = exitNoNetwork
	}
	for _, err := range []error{err, unwritten} {
		if err != nil {
			fmt.Fprintf(to.err, "gotimeout: %v\n", err)
		}
	}
	fmt.Fprintf(to.err, "gotimeout: %s\n", loopback.Summary())
	return status, nil
}

type networkDriversCmd struct {
	JSON bool `help:"Print one JSON object: drivers, each with driver, works and why, and auto, the driver that auto takes."`
}

// Run tries the drivers and prints which work. kong calls it.
func (c networkDriversCmd) Run(ctx context.Context, to streams) error {
	return inPrivate(ctx, to, private.Work{
		Inside: func(context.Context, *private.Process) (int, error) {
			return 0, c.print(to, drivers.Try())
		},
		Refused: func(reason *private.RefusedError) (int, error) {
			return 0, c.print(to, drivers.Refused(reason))
		},
	})
}

// print prints a line for each driver, and further lines for a long reason.
func (c networkDriversCmd) print(to streams, all []drivers.Tried) error {
	if c.JSON {
		return printJSON(to.out, struct {
			Drivers []drivers.Tried `json:"drivers"`
			Auto    string          `json:"auto"`
		}{all, drivers.Choice(all)})
	}
	const line, indent = "%-6s  %-5s  %s\n", 15
	fmt.Fprintf(to.out, line, "driver", "works", "why")
	for _, d := range all {
		works := "no"
		if d.Works {
			works = "yes"
		}
		fmt.Fprintf(to.out, line, d.Name, works, prose.Hang(d.Why, indent, to.columns(to.out)))
	}
	_, err := fmt.Fprintf(to.out, "\nauto takes %s\n", drivers.Choice(all))
	return err
}
