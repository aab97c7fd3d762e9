package badnet

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
