package badnet

import (
	"encoding/json"
	"fmt"
	"time"
)

// DefaultLimit is the Limit of a Link that has none.
const DefaultLimit = 1000

// Link is how bad one direction is. The zero Link changes nothing.
type Link struct {
	Delay        time.Duration // one way, as netem's
	Jitter       time.Duration // at most Delay
	Distribution Distribution  // of the jitter
	Loss         float64       // share of the packets, 0 to 1
	Burst        float64       // mean length of a loss burst, in packets; 0 and 1: each loss on its own
	Rate         int64         // bit/s; 0: no bound
	Reorder      float64       // share of the packets that overtake, 0 to 1
	Duplicate    float64       // share of the packets that come twice, 0 to 1
	Limit        int           // packets that wait for the Rate; 0: DefaultLimit
}

// Profile is a network: one Link towards the server and one back.
type Profile struct {
	Up, Down Link
}

// RoundTrip returns what the delays add to a round trip.
func (p Profile) RoundTrip() time.Duration { return p.Up.Delay + p.Down.Delay }

// MarshalText returns what String does: in JSON a Profile is its text.
func (p Profile) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText reads what Parse does.
func (p *Profile) UnmarshalText(text []byte) (err error) {
	*p, err = Parse(string(text))
	return err
}

// MarshalJSON writes the fields that are set, durations as Go's ("100ms").
func (l Link) MarshalJSON() ([]byte, error) {
	distribution := ""
	if l.Jitter > 0 {
		distribution = l.Distribution.String()
	}
	return json.Marshal(struct {
		Delay        string  `json:"delay,omitempty"`
		Jitter       string  `json:"jitter,omitempty"`
		Distribution string  `json:"distribution,omitempty"`
		Loss         float64 `json:"loss,omitempty"`
		Burst        float64 `json:"burst,omitempty"`
		Rate         int64   `json:"rate,omitempty"`
		Reorder      float64 `json:"reorder,omitempty"`
		Duplicate    float64 `json:"duplicate,omitempty"`
		Limit        int     `json:"limit,omitempty"`
	}{
		text(l.Delay), text(l.Jitter), distribution,
		l.Loss, l.Burst, l.Rate, l.Reorder, l.Duplicate, l.Limit,
	})
}

func text(d time.Duration) string {
	if d == 0 {
		return ""
	}
	return d.String()
}

// Distribution is how the jitter spreads around the delay. Whichever it is, the
// delay stays the mean, and no packet is further from it than ten times the
// jitter. Only where Normal would go below zero, with a jitter of more than a
// third of the delay, the mean rises: by a twelfth of the jitter at most.
type Distribution uint8

// The distributions.
const (
	Uniform Distribution = iota // anywhere within the jitter
	Normal                      // the jitter is the standard deviation
	Pareto                      // the same, with a long tail: most packets early, few very late
)

var distributions = []string{Uniform: "uniform", Normal: "normal", Pareto: "pareto"}

// String returns the name, as Parse reads it.
func (d Distribution) String() string {
	if int(d) < len(distributions) {
		return distributions[d]
	}
	return fmt.Sprintf("Distribution(%d)", uint8(d))
}
