package main

import (
	"fmt"
	"strings"

	"gotimeout/internal/badnet"

	"github.com/alecthomas/kong"
)

// profileArg is a profile on the command line, quoted or not: as an argument it
// takes all words up to the next flag or --, as a flag's value the one.
type profileArg struct{ profile badnet.Profile }

// Decode reads it. kong calls it.
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
	a.profile, err = badnet.Parse(strings.Join(words, " "))
	return err
}

// onLink is what the link makes of packets, there and back, if l is what it
// makes of those that leave: on a loopback all of them do.
func onLink(l badnet.Link, loopback bool) badnet.Profile {
	if loopback {
		return badnet.Profile{Up: l, Down: l}
	}
	return badnet.Profile{Up: l}
}

// withRoundTrip writes what is on a link.
func withRoundTrip(l badnet.Link, loopback bool) string {
	both := badnet.Profile{Up: l, Down: l}
	return fmt.Sprintf("%s, round trip: %s", both, roundTrip(onLink(l, loopback)))
}
