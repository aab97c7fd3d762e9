package drivers

import (
	"context"
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
	apart    []uint16 // of the echo
	measured *badnet.Calibration
}

// OpenLoopback makes the loopback of this private process bad, by netem or tun,
// or with auto by the first of the two that works and can do the profile.
func OpenLoopback(driver string, p badnet.Profile, seed uint64) (*Loopback, error) {
	e, err := probe.NewEcho(probe.Lanes)
	if err != nil {
		return nil, err
	}
	l := &Loopback{Profile: p, echo: e}
	l.Driver, l.Why, l.packets, err = Open(driver, seed, func(d badnet.Driver) error {
		l.apart, err = Apart(e.Ports, 0, func(ports []uint16) error {
			plan := badnet.Plan{All: p, Ports: map[uint16]badnet.Profile{}}
			for _, port := range ports {
				plan.Ports[port] = p
			}
			return d.Apply(plan)
		})
		return err
	})
	if err != nil {
		e.Close()
		return nil, err
	}
	return l, nil
}

// Close makes the loopback good again.
func (l *Loopback) Close() error {
	l.echo.Close()
	return l.packets.Close()
}

// Calibrate measures what the driver does, apart from all other packets where it
// can tell them apart, and returns an error if that is not what was asked. With
// ctx done before it was measured there is neither.
func (l *Loopback) Calibrate(ctx context.Context) error {
	way := probe.Way{Driver: l.Driver, Addr: l.echo.Addr(), Apart: l.apart}
	measured, err := way.Calibrate(ctx, l.Profile)
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
