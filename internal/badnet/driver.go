package badnet

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
)

// The names of the drivers; package drivers has the list. Auto is the first driver
// that works here and can do the profile.
const (
	Auto    = "auto"
	Netem   = "netem"
	TUN     = "tun"
	Proxy   = "proxy"
	Without = "none" // the network as it is
)

// Plan is how bad a loopback is: one profile for all packets, and others for the
// packets to and from the servers on some ports.
type Plan struct {
	All   Profile
	Ports map[uint16]Profile
}

// Driver makes the packets of a loopback as bad as planned.
type Driver interface {
	// Apply changes the network, for open connections too. It does not validate
	// the plan. It returns ErrCannot where the driver can't do the plan. After an
	// error the network is unchanged.
	Apply(Plan) error
	// Totals counts the packets since the driver was opened.
	Totals() (Totals, error)
	// Close makes the network good again.
	Close() error
}

// Mortal is a Driver, or another part of a network, that an error may end before Close.
type Mortal interface {
	// Failed has that error. It is closed when the part has ended.
	Failed() <-chan error
}

// Totals count the packets of both directions.
type Totals struct {
	Packets uint64 `json:"packets"` // that were sent
	Dropped uint64 `json:"dropped"` // of the packets sent, by loss and by limit
}

// The reasons why a network can't be changed.
var (
	// ErrCannot says that the driver can't do a plan.
	ErrCannot = errors.New("the driver can't do that")
	// ErrNone says that the lab has no network.
	ErrNone = errors.New("this lab has no network to change: start it with one, as in --network none")
	// ErrBackend says that the lab has no such backend.
	ErrBackend = errors.New("there is no backend")
)

// Cannot returns an ErrCannot whose text is the sentence.
func Cannot(format string, args ...any) error { return cannot(fmt.Sprintf(format, args...)) }

type cannot string

func (c cannot) Error() string        { return string(c) }
func (c cannot) Is(target error) bool { return target == ErrCannot }

// State is the present network. It is immutable: each change makes a new State.
type State struct {
	Path                     // of the backends without a profile of their own
	Why      string          `json:"why"`                // the reason for this driver
	Backends map[string]Path `json:"backends,omitempty"` // of the backends with a profile of their own
}

// Of returns the path to a backend.
func (s *State) Of(backend string) *Path {
	if own, ok := s.Backends[backend]; ok {
		return &own
	}
	return &s.Path
}

// Together returns the path to all backends, which has no figures where they have several
// profiles.
func (s *State) Together() *Path {
	if len(s.Backends) == 0 {
		return &s.Path
	}
	all := &Path{Driver: s.Driver, Profile: s.Profile, Ended: s.Ended}
	for _, name := range slices.Sorted(maps.Keys(s.Backends)) {
		all.Profile += "; " + name + ": " + s.Backends[name].Profile
		all.Ended = cmp.Or(all.Ended, s.Backends[name].Ended)
	}
	return all
}

// Unseen says why the packets can't be watched, or returns nil.
func (s *State) Unseen() error {
	switch {
	case s.Driver == Without:
		return ErrNone
	case s.Driver != TUN:
		return Cannot("the %s driver shows no packets: start the lab with --network-driver %s", s.Driver, TUN)
	case s.Ended != "":
		return Cannot("the network has ended, and has no packets: %s", s.Ended)
	}
	return nil
}

// Path is the way to a backend: the profile beside what was measured.
type Path struct {
	Driver      string       `json:"driver"`
	Profile     string       `json:"profile"`         // as Parse reads it
	RoundTrip   *float64     `json:"round_trip_ms"`   // the sum of the delays; nil of several profiles
	Calibration *Calibration `json:"calibration"`     // nil before the first change
	Ended       string       `json:"ended,omitempty"` // why nothing of this holds any more
}

// Calibration is what was measured through a driver. Times are in milliseconds,
// and nil where nothing came back.
type Calibration struct {
	RoundTripP50 *float64 `json:"round_trip_p50_ms"`
	RoundTripP99 *float64 `json:"round_trip_p99_ms"`
	Dial         *float64 `json:"dial_ms"`
	Sent         int      `json:"sent"` // probes
	Lost         int      `json:"lost"` // of the probes
	Note         string   `json:"note,omitempty"`
}
