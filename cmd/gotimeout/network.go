package main

import (
	"fmt"
	"text/tabwriter"
	"time"

	"gotimeout/internal/badnet"
)

// networkCmd joins the commands about bad networks, a file each.
type networkCmd struct {
	Run     networkRunCmd     `cmd:"" help:"Run a program on a private bad network, without root."`
	Check   networkCheckCmd   `cmd:"" help:"Measure a bad network: what was asked beside what it does."`
	Drivers networkDriversCmd `cmd:"" help:"List the drivers, and which of them work here."`
	Presets networkPresetsCmd `cmd:"" help:"List the presets, and where their figures are from."`
	Set     networkSetCmd     `cmd:"" help:"Make a real link of this machine bad, by the kernel's netem. Meant for the lab VM: everything else on it has that network too."`
	Reset   networkResetCmd   `cmd:"" help:"Make a link good again that set has made bad."`
	Show    networkShowCmd    `cmd:"" help:"Show what is on the links of this machine."`
}

type networkPresetsCmd struct{}

// Run prints the presets. kong calls it.
func (networkPresetsCmd) Run(to streams) error {
	for i, p := range badnet.Presets() {
		if i > 0 {
			fmt.Fprintln(to.out)
		}
		fmt.Fprintf(to.out, "%s\n  %s\n", p.Name, p.Doc)
		lines := tabwriter.NewWriter(to.out, 0, 0, 2, ' ', 0)
		fmt.Fprintf(lines, "  profile\t%s\n", p.Profile)
		fmt.Fprintf(lines, "  round trip\t%s\n", roundTrip(p.Profile))
		fmt.Fprintf(lines, "  source\t%s\n", p.Source)
		if err := lines.Flush(); err != nil {
			return err
		}
	}
	return nil
}

// roundTrip says what a profile's delays make of a round trip, for delay is one
// way.
func roundTrip(p badnet.Profile) string {
	if p.Up.Loss == 1 || p.Down.Loss == 1 {
		return "none comes back"
	}
	return "+" + p.RoundTrip().Round(time.Microsecond).String()
}
