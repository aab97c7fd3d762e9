package drivers

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"

	"gotimeout/internal/badnet"
	"gotimeout/internal/badnet/private"
	"gotimeout/internal/badnet/probe"
	"gotimeout/internal/prose"
)

// Loopback is a bad network for any program: one profile for all of 127.0.0.1. The
// programs on it can change the profile: see Change.
type Loopback struct {
	Driver, Why string
	Profile     badnet.Profile // at first

	packets  badnet.Driver
	echo     *probe.Echo
	measured *badnet.Calibration
	control  net.Listener
	served   sync.WaitGroup
	first    context.Context // done with the first change
	another  context.CancelFunc

	mu      sync.Mutex // for what follows
	present badnet.Profile
	apart   []uint16 // ports of the echo with a queue of their own
	changes int
}

// OpenLoopback makes the loopback of this private process bad, by the named driver
// of packets, or for auto by the first that works and can do the profile.
func OpenLoopback(driver string, p badnet.Profile, seed uint64) (*Loopback, error) {
	e, err := probe.NewEcho(probe.Lanes)
	if err != nil {
		return nil, err
	}
	l := &Loopback{Profile: p, echo: e}
	l.first, l.another = context.WithCancel(context.Background())
	l.Driver, l.Why, l.packets, err = Open(driver, seed, func(d badnet.Driver) error { return l.apply(d, p) })
	if err != nil {
		e.Close()
		return nil, err
	}
	if l.control, err = net.Listen("unix", control); err != nil {
		e.Close()
		return nil, errors.Join(err, l.packets.Close())
	}
	l.served.Go(l.serve)
	return l, nil
}

// Watch shows the packets of the programs, and not those of the calibration, until Close. It
// returns ErrCannot where the driver sees none.
func (l *Loopback) Watch(by badnet.Watcher) error {
	d, ok := l.packets.(badnet.Watchable)
	if !ok {
		return badnet.Cannot("the %s driver sees no packets: use tun", l.Driver)
	}
	d.Watch(by)
	return nil
}

// Command runs a command on the network, as p.Command does. Where the network ends by an error, or one of the
// parts beside it, the command ends too: what it would measure is no bad network. The error is then an EndedError.
func (l *Loopback) Command(ctx context.Context, p *private.Process, args []string, parts ...badnet.Mortal) (status int, err error) {
	alive, end := context.WithCancelCause(ctx)
	defer end(nil)
	if d, ok := l.packets.(badnet.Mortal); ok {
		parts = append(parts, d)
	}
	for _, part := range parts {
		go func() {
			for err := range part.Failed() {
				end(&EndedError{err})
			}
		}()
	}
	status, err = p.Command(alive, args)
	var ended *EndedError
	if errors.As(context.Cause(alive), &ended) {
		return status, ended
	}
	return status, err
}

// EndedError says that the network has ended, and with it the command.
type EndedError struct{ Err error }

func (e *EndedError) Error() string {
	return "the bad network has ended, and with it the command: " + e.Err.Error()
}
func (e *EndedError) Unwrap() error { return e.Err }

// Packets is the driver of the loopback.
func (l *Loopback) Packets() badnet.Driver { return l.packets }

// apply makes the packets as bad as p says.
func (l *Loopback) apply(d badnet.Driver, p badnet.Profile) (err error) {
	l.apart, err = Apart(l.echo.Ports, 0, func(ports []uint16) error {
		plan := badnet.Plan{All: p, Ports: map[uint16]badnet.Profile{}}
		for _, port := range ports {
			plan.Ports[port] = p
		}
		return d.Apply(plan)
	})
	if err == nil {
		l.present = p
	}
	return err
}

// change applies another profile, and returns the profile before.
func (l *Loopback) change(p badnet.Profile) (before badnet.Profile, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	before = l.present
	l.another() // a calibration would measure both
	if err = l.apply(l.packets, p); err == nil {
		l.changes++
	}
	return before, err
}

// Close makes the loopback good again.
func (l *Loopback) Close() error {
	l.control.Close()
	l.served.Wait()
	l.another()
	l.echo.Close()
	return l.packets.Close()
}

// Calibrate measures the network and returns an error where the driver doesn't do
// what the profile asks for. Where the driver can tell ports apart, the program's
// packets don't disturb the measurement. Without a result before ctx is done, or
// before the profile is changed, it returns nil, and the Summary says so.
func (l *Loopback) Calibrate(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(l.first, cancel)()
	l.mu.Lock()
	way := probe.Way{Driver: l.Driver, Addr: l.echo.Addr(), Apart: l.apart}
	l.mu.Unlock()
	measured, err := way.Calibrate(ctx, l.Profile)
	if ctx.Err() != nil {
		return nil
	}
	l.measured = measured
	return err
}

// Summary says in one line what the profile asks for and what was measured.
func (l *Loopback) Summary() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	text := fmt.Sprintf("%s by %s: round trip +%g ms asked, ", l.Profile, l.Driver, *probe.Millis(l.Profile.RoundTrip()))
	switch m := l.measured; {
	case m == nil && l.changes > 0:
		text += "not measured, the command changed it before"
	case m == nil:
		text += "not measured, the command was done before"
	case m.RoundTripP50 == nil && m.Note == "":
		text += "none came back"
	case m.RoundTripP50 == nil:
		text += "not measured, " + m.Note
	default:
		text += fmt.Sprintf("%.1f ms measured", *m.RoundTripP50)
	}
	if l.changes > 0 {
		text += "; " + prose.Count(l.changes, "change")
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
