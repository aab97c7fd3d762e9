package badnet

import (
	"errors"
	"fmt"
)

// The names of the drivers; package drivers has the list. Auto is the first driver
// that works here and can do the profile.
const (
	Auto    = "auto"
	Netem   = "netem" // the kernel's
	TUN     = "tun"   // our shaper of packets
	Proxy   = "proxy" // in front of each backend
	Without = "none"  // the network as it is
)

// Plan is how bad a loopback is: one profile for all of it, and others for the
// servers on some ports.
type Plan struct {
	All   Profile
	Ports map[uint16]Profile
}

// Driver makes the packets of a loopback as bad as planned.
type Driver interface {
	// Apply changes the network, on open connections too. It validates nothing.
	// What the driver can't do is an error that is ErrCannot; then, as with any
	// error, the network is what it was.
	Apply(Plan) error
	// Totals returns what became of the packets since the driver began.
	Totals() (Totals, error)
	// Close makes the network good again.
	Close() error
}

// Totals count the packets of both directions.
type Totals struct {
	Packets uint64 `json:"packets"` // that were sent
	Dropped uint64 `json:"dropped"` // of them, by loss and by limit
}

// Why a network can't be changed.
var (
	// ErrCannot is what a driver can't do with the network that it has.
	ErrCannot  = errors.New("the driver can't do that")
	ErrNone    = errors.New("this lab has no network to change: start it with one, as in --network none")
	ErrBackend = errors.New("there is no backend")
)

// Cannot returns an ErrCannot whose text is the sentence.
func Cannot(format string, args ...any) error { return cannot(fmt.Sprintf(format, args...)) }

type cannot string

func (c cannot) Error() string        { return string(c) }
func (c cannot) Is(target error) bool { return target == ErrCannot }

// State is a network as it stands. It doesn't change: a change makes another.
type State struct {
	Path                     // of the backends that have none of their own
	Why      string          `json:"why"`                // this driver
	Backends map[string]Path `json:"backends,omitempty"` // of those that have one of their own
}

// Of returns the path to a backend.
func (s *State) Of(backend string) *Path {
	if own, ok := s.Backends[backend]; ok {
		return &own
	}
	return &s.Path
}

// Path is the way to a backend: what was asked for, beside what was measured.
type Path struct {
	Driver      string       `json:"driver"`
	Profile     string       `json:"profile"`       // as Parse reads it
	RoundTrip   *float64     `json:"round_trip_ms"` // that the delays make; nil of several profiles
	Calibration *Calibration `json:"calibration"`   // nil where nothing was asked for
}

// Calibration is what a driver did, measured. Times are in milliseconds, nil
// where they could not be had.
type Calibration struct {
	RoundTripP50 *float64 `json:"round_trip_p50_ms"`
	RoundTripP99 *float64 `json:"round_trip_p99_ms"`
	Dial         *float64 `json:"dial_ms"`
	Sent         int      `json:"sent"` // probes
	Lost         int      `json:"lost"` // of them
	Note         string   `json:"note,omitempty"`
}
