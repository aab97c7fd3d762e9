package main

import (
	"fmt"
	"gotimeout/internal/badnet/drivers"
	"gotimeout/internal/badnet/private"
)

type networkDriversCmd struct{}

// Run tries the drivers and prints which work. kong calls it.
func (networkDriversCmd) Run(to streams) error {
	if private.Inside() {
		if _, err := private.Enter(false); err != nil {
			return exitStatus(exitNoNetwork) // the outside tells
		}
		return printDrivers(to, drivers.Try())
	}
	status, err := private.Run(private.Outside{})
	if err != nil {
		return printDrivers(to, drivers.Refused(err))
	}
	return exitStatus(status)
}

// printDrivers prints a line for each driver, and more where the reason is long.
func printDrivers(to streams, all []drivers.Tried) error {
	const line, indent, width = "%-6s  %-5s  %s\n", 15, 80
	fmt.Fprintf(to.out, line, "driver", "works", "why")
	for _, d := range all {
		works := "no"
		if d.Works {
			works = "yes"
		}
		fmt.Fprintf(to.out, line, d.Name, works, wrap(d.Why, indent, width))
	}
	_, err := fmt.Fprintf(to.out, "\nauto takes %s\n", drivers.Choice(all))
	return err
}
