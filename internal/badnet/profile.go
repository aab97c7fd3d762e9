package badnet

import (
	"encoding/json"
	"fmt"
	"time"

	"gotimeout/internal/prose"
)

// DefaultLimit is the Limit of a Link that has none.
const DefaultLimit = 1000

// Link is how bad one direction is. The zero Link changes nothing.
type Link struct {
	Delay        time.Duration // one way
	Jitter       time.Duration // at most Delay
	Distribution Distribution  // of the jitter
	Loss         float64       // share of the packets, 0 to 1
	Burst        float64       // mean length of a loss burst, in packets; 0 and 1: losses are independent
	Correlation  float64       // of a loss with the one before it, by netem's formula, 0 to below 1; not with Burst
	Corrupt      float64       // share of the packets in which a bit is flipped, 0 to 1
	Rate         int64         // bit/s; 0: no bound
	Trace        Trace         // of the rate, in the place of Rate
	Reorder      float64       // share of the packets that overtake, 0 to 1
	Duplicate    float64       // share of the packets that arrive twice, 0 to 1
	Limit        int           // packets that wait for the Rate or the Trace; 0: DefaultLimit
	Queue        Discipline    // of the packets that wait
	Outage       time.Duration // how long nothing gets through, once in each Every
	Every        time.Duration // from the begin of an outage to the next
	Exponential  bool          // both times are means, and exponential
}

// Arrives is the share of the packets that arrive whole, as far as the shares say.
func (l Link) Arrives() float64 {
	share := (1 - l.Loss) * (1 - l.Corrupt)
	if l.Outage > 0 {
		share *= 1 - float64(l.Outage)/float64(l.Every)
	}
	return share
}

// MeanRate is the Rate, or the mean of the Trace.
func (l Link) MeanRate() int64 {
	if l.Trace.times == "" {
		return l.Rate
	}
	return l.Trace.Rate()
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
		Correlation  float64 `json:"correlation,omitempty"`
		Corrupt      float64 `json:"corrupt,omitempty"`
		Rate         int64   `json:"rate,omitempty"`
		Trace        string  `json:"trace,omitempty"`
		Reorder      float64 `json:"reorder,omitempty"`
		Duplicate    float64 `json:"duplicate,omitempty"`
		Limit        int     `json:"limit,omitempty"`
		Queue        string  `json:"queue,omitempty"`
		Outage       string  `json:"outage,omitempty"`
		Every        string  `json:"every,omitempty"`
		Exponential  bool    `json:"exponential,omitempty"`
	}{
		text(l.Delay), text(l.Jitter), distribution,
		l.Loss, l.Burst, l.Correlation, l.Corrupt, l.Rate, l.Trace.File, l.Reorder, l.Duplicate, l.Limit, formatQueue(l),
		text(l.Outage), text(l.Every), l.Exponential,
	})
}

func text(d time.Duration) string {
	if d == 0 {
		return ""
	}
	return d.String()
}

// Distribution is how delays spread around their mean, which is the Link's Delay.
// No packet is further from the mean than ten times the jitter. Normal cuts
// negative delays off: with a jitter above a third of the delay the mean rises,
// by a twelfth of the jitter at most.
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

// The bounds of a Link.
const (
	maxDelay = time.Minute
	maxBurst = 10_000
	minRate  = 1_000             // 1kbit
	maxRate  = 1_000_000_000_000 // 1000gbit
	maxLimit = 100_000
	minEvery = 10 * time.Millisecond
	maxEvery = time.Hour
)

// Validate returns an error that says what is wrong and what is allowed.
func (p Profile) Validate() error {
	if p.Up == p.Down {
		return p.Up.Validate()
	}
	if err := p.Up.Validate(); err != nil {
		return fmt.Errorf("up: %w", err)
	}
	if err := p.Down.Validate(); err != nil {
		return fmt.Errorf("down: %w", err)
	}
	return nil
}

// Validate returns an error that says what is wrong and what is allowed.
func (l Link) Validate() error {
	for _, share := range []struct {
		key   string
		value float64
	}{{"loss", l.Loss}, {"corrupt", l.Corrupt}, {"reorder", l.Reorder}, {"duplicate", l.Duplicate}} {
		if !(share.value >= 0 && share.value <= 1) { // NaN is neither
			return fmt.Errorf("%s=%s is out of bounds; write 0%% to 100%%", share.key, percent(share.value))
		}
	}
	switch {
	case l.Delay < 0 || l.Delay > maxDelay:
		return fmt.Errorf("delay=%s is out of bounds; write 0s to %s", l.Delay, maxDelay)
	case l.Jitter < 0:
		return fmt.Errorf("jitter=%s is out of bounds; write 0s or more", l.Jitter)
	case l.Jitter > l.Delay:
		return fmt.Errorf("jitter=%s is above delay=%s, and no packet arrives before it was sent; write a longer delay or less jitter", l.Jitter, l.Delay)
	case int(l.Distribution) >= len(distributions):
		return fmt.Errorf("unknown distribution %d; there are %s", l.Distribution, prose.And(distributions))
	case l.Reorder > 0 && l.Delay == 0:
		return fmt.Errorf("reorder=%s without a delay, and there is nothing to overtake; add delay=10ms, or more", percent(l.Reorder))
	case l.Rate != 0 && (l.Rate < minRate || l.Rate > maxRate):
		return fmt.Errorf("rate=%s is out of bounds; write %s to %s, or none", rate(l.Rate), rate(minRate), rate(maxRate))
	case l.Rate != 0 && l.Trace != (Trace{}):
		return fmt.Errorf("rate=%s and trace=%s, and a trace is a rate; leave one out, or write rate=none", rate(l.Rate), l.Trace.File)
	case l.Trace.File != "" && l.Trace.times == "":
		return fmt.Errorf("the trace %s is not read", l.Trace.File)
	case l.Limit < 0 || l.Limit > maxLimit:
		return fmt.Errorf("limit=%d is out of bounds; write 1 to %d packets", l.Limit, maxLimit)
	case int(l.Queue) >= len(disciplines):
		return fmt.Errorf("unknown queue %d; there are %s", l.Queue, prose.And(disciplines))
	case l.Queue != DropTail && l.Rate == 0 && l.Trace == (Trace{}):
		return fmt.Errorf("queue=%s without a rate, and nothing waits; add rate=1mbit, or a trace", l.Queue)
	case l.Outage < 0 || l.Outage == 0 && l.Every != 0:
		return fmt.Errorf("outage=%s is out of bounds; write a time above 0s, as in outage=1s,every=10s, or 0s for none", l.Outage)
	case l.Outage > 0 && (l.Every < minEvery || l.Every > maxEvery):
		return fmt.Errorf("every=%s is out of bounds; write %s to %s", l.Every, minEvery, maxEvery)
	case l.Outage > 0 && l.Outage >= l.Every:
		return fmt.Errorf("outage=%s in every=%s lets nothing through; write a longer every, or loss=100%%", l.Outage, l.Every)
	}
	return l.validateBurst()
}

// validateBurst refuses impossible bursts and correlations: independent losses already make bursts
// of 1/(1-loss) packets on average.
func (l Link) validateBurst() error {
	switch {
	case !(l.Correlation >= 0 && l.Correlation < 1):
		return fmt.Errorf("correlation=%s is out of bounds; write 0%% to below 100%%", percent(l.Correlation))
	case l.Correlation > 0 && l.Loss == 0:
		return fmt.Errorf("correlation=%s of no loss; add a loss, as in loss=5%%,correlation=%s", percent(l.Correlation), percent(l.Correlation))
	case l.Burst == 0 || l.Burst == 1:
		return nil
	case l.Correlation > 0:
		return fmt.Errorf("burst=%s and correlation=%s both say how losses follow each other; leave one out", number(l.Burst), percent(l.Correlation))
	case !(l.Burst >= 1 && l.Burst <= maxBurst):
		return fmt.Errorf("burst=%s is out of bounds; write 1 to %d packets", number(l.Burst), maxBurst)
	case l.Loss == 0:
		return fmt.Errorf("burst=%s of no loss; add a loss, as in loss=1%%,burst=%s", number(l.Burst), number(l.Burst))
	case l.Loss == 1:
		return fmt.Errorf("burst=%s of loss=100%%, which never ends; leave the burst out", number(l.Burst))
	case l.Burst*(1-l.Loss) < 1-1e-9: // 5*(1-0.8) is slightly below 1
		return fmt.Errorf("burst=%s is too short for loss=%s, which makes bursts of %.4g packets by chance alone; write more than that, or leave the burst out",
			number(l.Burst), percent(l.Loss), 1/(1-l.Loss))
	}
	return nil
}
