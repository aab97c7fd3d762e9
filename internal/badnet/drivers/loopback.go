package drivers

import (
	"context"
	"fmt"

	"gotimeout/internal/badnet"
	"gotimeout/internal/badnet/probe"
)

// Loopback is a bad network for any program: one profile for all of 127.0.0.1.
type Loopback struct {
	Driver, Why string
	Profile     badnet.Profile

	packets  badnet.Driver
	echo     *probe.Echo
	apart    []uint16 // ports of the echo with a queue of their own
	measured *badnet.Calibration
}

// OpenLoopback makes the loopback of this private process bad, by the named driver
// of packets, or for auto by the first that works and can do the profile.
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

// Calibrate measures the network and returns an error where the driver doesn't do
// what the profile asks for. Where the driver can tell ports apart, the program's
// packets don't disturb the measurement. Without a result before ctx is done it
// returns nil, and the Summary says so.
func (l *Loopback) Calibrate(ctx context.Context) error {
	way := probe.Way{Driver: l.Driver, Addr: l.echo.Addr(), Apart: l.apart}
	measured, err := way.Calibrate(ctx, l.Profile)
	if ctx.Err() != nil {
		return nil
	}
	l.measured = measured
	return err
}

// Summary says in one line what the profile asks for and what was measured.
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
