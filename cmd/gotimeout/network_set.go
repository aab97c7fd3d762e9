package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"gotimeout/internal/badnet"
	"gotimeout/internal/badnet/netem"
	"gotimeout/internal/prose"

	"github.com/alecthomas/kong"
)

type networkSetCmd struct {
	Profile profileArg    `arg:"" predictor:"profile" help:"A preset such as lossy, or keys such as delay=100ms loss=1%."`
	Dev     linkArg       `required:"" placeholder:"LINK" help:"The link, such as lo. On lo both directions are shaped and share the rate; on any other link, what leaves it is."`
	For     time.Duration `placeholder:"60s" help:"Wait for so long, or until Ctrl-C, and make the link good again."`
	DryRun  bool          `help:"Print the tc commands, and change nothing."`
	Yes     bool          `help:"Change the link although the default route leads through it."`
}

// Run sets the link, and prints the tc commands that do the same. kong calls it.
func (c networkSetCmd) Run(ctx context.Context, to streams) error {
	link, err := c.link()
	if err != nil {
		return err
	}
	if !c.DryRun && !c.Yes {
		if err := c.isNoWayOut(); err != nil {
			return err
		}
	}
	if _, err := netem.Set(c.Dev.Name, link, true); errors.Is(err, badnet.ErrCannot) {
		return usageError{err} // the profile is wrong; a fault of the kernel shows later
	}
	if c.For > 0 && !signal.Ignored(syscall.SIGHUP) { // the end of a terminal, which a bad link may cause
		var stop func()
		ctx, stop = signal.NotifyContext(ctx, syscall.SIGHUP)
		defer stop()
	}
	commands, err := netem.Set(c.Dev.Name, link, c.DryRun)
	if err != nil {
		return err
	}
	fmt.Fprintf(to.out, "# %s: %s\n", c.Dev.Name, withRoundTrip(link, c.Dev.loopback()))
	for _, command := range commands {
		fmt.Fprintln(to.out, command)
	}
	if link.Distribution != badnet.Uniform {
		fmt.Fprintf(to.out, "# tc takes iproute2's table for %s; gotimeout has one of its own, with the\n# jitter as its deviation\n", link.Distribution)
	}
	if c.DryRun {
		return nil
	}
	if c.For == 0 {
		fmt.Fprintf(to.out, "# good again with: gotimeout network reset --dev %s\n", c.Dev.Name)
		return nil
	}
	fmt.Fprintf(to.out, "# for %s, or until Ctrl-C\n", c.For)
	select {
	case <-ctx.Done():
	case <-time.After(c.For):
	}
	return reset(c.Dev.Name, to)
}

// link is the profile's only Link.
func (c networkSetCmd) link() (badnet.Link, error) {
	p := c.Profile.profile
	switch {
	case p.Up == p.Down:
		return p.Up, nil
	case c.Dev.loopback():
		return badnet.Link{}, usagef("the profile's up and down differ, and on %s netem can't tell which is which: write keys without up. and down., or a preset that has none", c.Dev.Name)
	}
	return badnet.Link{}, usagef("the profile's up and down differ, and netem shapes only what leaves %s: write keys without up. and down., for that direction", c.Dev.Name)
}

// isNoWayOut refuses a link whose loss could lock the user out.
func (c networkSetCmd) isNoWayOut() error {
	carries, err := netem.CarriesDefaultRoute(c.Dev.Name)
	if err == nil && carries {
		err = fmt.Errorf("the default route leads through %s, and this may cut you off: take another link, or add --yes (and --for 60s)", c.Dev.Name)
	}
	return err
}

type networkResetCmd struct {
	Dev linkArg `required:"" placeholder:"LINK" help:"The link, such as lo."`
}

// Run makes the link good again. kong calls it.
func (c networkResetCmd) Run(to streams) error { return reset(c.Dev.Name, to) }

func reset(dev string, to streams) error {
	commands, err := netem.Reset(dev)
	if err != nil {
		return err
	}
	for _, command := range commands {
		fmt.Fprintln(to.out, command)
	}
	if commands == nil {
		fmt.Fprintf(to.out, "# %s has nothing of gotimeout's\n", dev)
		return nil
	}
	fmt.Fprintf(to.out, "# %s is good again\n", dev)
	return nil
}

// linkArg is the name of a link that this machine has.
type linkArg struct{ net.Interface }

// Decode finds the link. kong calls it.
func (a *linkArg) Decode(ctx *kong.DecodeContext) error {
	name, err := ctx.Scan.PopValue("link")
	if err != nil {
		return err
	}
	all, err := net.Interfaces()
	if err != nil {
		return fmt.Errorf("the links of this machine: %w", err)
	}
	var names []string
	for _, a.Interface = range all {
		if a.Name == name.String() {
			return nil
		}
		names = append(names, a.Name)
	}
	return errors.New(prose.Unknown("link", name.String(), names))
}

func (a linkArg) loopback() bool { return a.Flags&net.FlagLoopback != 0 }

type networkShowCmd struct {
	JSON bool `help:"Print the links as a JSON array: link, qdisc (null: the kernel's own), ours, profile and round_trip_ms (null: no netem of gotimeout's), packets and dropped."`
}

// shownLink is the JSON of a link.
type shownLink struct {
	Link      string   `json:"link"`
	Qdisc     *string  `json:"qdisc"`
	Ours      bool     `json:"ours"`
	Profile   *string  `json:"profile"`
	RoundTrip *float64 `json:"round_trip_ms"`
	badnet.Totals
}

// Run prints the queueing of each link. kong calls it.
func (c networkShowCmd) Run(to streams) error {
	roots, err := netem.List()
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(to.out, shownLinks(roots))
	}
	widest := 0
	for _, r := range roots {
		widest = max(widest, len(r.Dev)+2)
	}
	for _, r := range roots {
		text := "as it is"
		switch {
		case r.Link != nil:
			text = fmt.Sprintf("%s; %d packets, %d of them dropped", withRoundTrip(*r.Link, r.Loopback), r.Totals.Packets, r.Totals.Dropped)
		case r.Ours:
			text = "gotimeout's, with profiles for ports"
		case r.Qdisc != "":
			text = fmt.Sprintf("qdisc %s, which is not gotimeout's", r.Qdisc)
		}
		if _, err := fmt.Fprintf(to.out, "%-*s%s\n", widest, r.Dev, prose.Hang(text, widest, to.columns(to.out))); err != nil {
			return err
		}
	}
	return nil
}

func shownLinks(roots []netem.Root) []shownLink {
	all := make([]shownLink, 0, len(roots))
	for _, r := range roots {
		s := shownLink{Link: r.Dev, Ours: r.Ours, Totals: r.Totals}
		if r.Qdisc != "" {
			s.Qdisc = &r.Qdisc
		}
		if r.Link != nil {
			text := badnet.Profile{Up: *r.Link, Down: *r.Link}.String()
			ms := float64(onLink(*r.Link, r.Loopback).RoundTrip()) / float64(time.Millisecond)
			s.Profile, s.RoundTrip = &text, &ms
		}
		all = append(all, s)
	}
	return all
}

// profileArg is a profile on the command line, quoted or not. As an argument it takes all
// words up to the next flag or --, and as a flag's value one word.
type profileArg struct{ profile badnet.Profile }

// Decode reads a profile. kong calls it.
func (a *profileArg) Decode(ctx *kong.DecodeContext) error {
	first, err := ctx.Scan.PopValue("profile")
	if err != nil {
		return err
	}
	words := []string{first.String()}
	if ctx.Value.Flag == nil {
		for _, more := range ctx.Scan.PopWhile(kong.Token.IsValue) {
			words = append(words, more.String())
		}
	}
	a.profile, err = badnet.ParseWithFiles(strings.Join(words, " "))
	return err
}

// onLink returns the profile of a link that does l to the packets that leave. On a loopback
// the packets of both directions leave.
func onLink(l badnet.Link, loopback bool) badnet.Profile {
	if loopback {
		return badnet.Profile{Up: l, Down: l}
	}
	return badnet.Profile{Up: l}
}

// withRoundTrip writes the profile of a link and its round trip.
func withRoundTrip(l badnet.Link, loopback bool) string {
	both := badnet.Profile{Up: l, Down: l}
	return fmt.Sprintf("%s, round trip: %s", both, roundTrip(onLink(l, loopback)))
}
