package main

import (
	"fmt"
	"text/tabwriter"

	"gotimeout/internal/badnet/netem"
)

type networkShowCmd struct{}

// Run prints what is on each link. kong calls it.
func (networkShowCmd) Run(to streams) error {
	roots, err := netem.List()
	if err != nil {
		return err
	}
	lines := tabwriter.NewWriter(to.out, 0, 0, 2, ' ', 0)
	for _, r := range roots {
		switch {
		case r.Link != nil:
			fmt.Fprintf(lines, "%s\t%s; %d packets, %d of them dropped\n",
				r.Dev, withRoundTrip(*r.Link, isLoopback(r.Dev)), r.Totals.Packets, r.Totals.Dropped)
		case r.Ours:
			fmt.Fprintf(lines, "%s\tgotimeout's, with profiles for ports\n", r.Dev)
		case r.Qdisc != "":
			fmt.Fprintf(lines, "%s\tqdisc %s, which is not gotimeout's\n", r.Dev, r.Qdisc)
		default:
			fmt.Fprintf(lines, "%s\tas it is\n", r.Dev)
		}
	}
	return lines.Flush()
}
