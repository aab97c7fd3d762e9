package drivers

import (
	"context"
	"errors"
	"fmt"

	"gotimeout/internal/badnet"
	"gotimeout/internal/badnet/probe"
)

// Loopback is a private network for any program: all of 127.0.0.1 is as bad as
// one profile.
type Loopback struct {
	Driver, Why string
	Profile     badnet.Profile

	packets  badnet.Driver
	echo     *probe.Echo
	measured *badnet.Calibration
}

// OpenLoopback makes the loopback of this private process bad, by netem or tun,
// or with auto by the first of the two that works and can do the profile.
func OpenLoopback(driver string, p badnet.Profile, seed uint64) (*Loopback, error) {
	name, why, packets, err := Open(driver, badnet.Plan{All: p}, seed)
	if err != nil {
		return nil, err
	}
	e, err := probe.NewEcho()
	if err != nil {
		return nil, errors.Join(err, packets.Close())
	}
	return &Loopback{Driver: name, Why: why, Profile: p, packets: packets, echo: e}, nil
}

// Echo returns the address of an echo on the loopback, over TCP and UDP.
func (l *Loopback) Echo() string { return l.echo.Addr() }

// Calibrate measures what the driver does, and returns an error if that is not
// what was asked. With ctx done before it was measured there is neither.
func (l *Loopback) Calibrate(ctx context.Context) error {
	measured, err := probe.Calibrate(ctx, l.echo.Addr(), l.Profile, l.Driver)
	if ctx.Err() != nil {
		return nil
	}
	l.measured = measured
	return err
}

// Summary says in a line what the network was, asked beside measured.
func (l *Loopback) Summary() string {
	text := fmt.Sprintf("%s by %s: round trip +%g ms asked, ", l.Profile, l.Driver, *probe.Millis(l.Profile.RoundTrip()))
	switch m := l.measured; {
	case m == nil:
		text += "not measured, the command was done before"
	case m.RoundTripP50 == nil && m.Note == "":
		text += "none came back"
	case m.RoundTripP50 == nil:
		text += "not measured, " + m.Note
	default:
		text += fmt.Sprintf("%.1f ms measured", *m.RoundTripP50)
	}
	t, err := l.packets.Totals()
	if err != nil {
		return text + "; the packets could not be counted: " + err.Error()
	}
	share := 0.
	if t.Packets > 0 {
		share = 100 * float64(t.Dropped) / float64(t.Packets)
	}
	return text + fmt.Sprintf("; %d packets, %d dropped (%.2f%%)", t.Packets, t.Dropped, share)
}
