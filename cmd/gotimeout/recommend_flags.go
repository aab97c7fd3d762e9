package main

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"gotimeout/internal/badnet"
	"gotimeout/internal/load"
	"gotimeout/internal/results"
)

const (
	// longestSample is how long a sample may take.
	longestSample = time.Hour
	// mostRequests are so many as a lab keeps receipts of, with some room.
	mostRequests = 700_000
	// warmUpOnNetwork is how long a load takes until it is steady, with a handshake
	// of a second and a link that all calls dial on at once.
	warmUpOnNetwork = 2 * time.Second
)

// plan reads the flags.
func (c *recommendCmd) plan() (p load.Plan, err error) {
	least := results.SampleSize(float64(c.FalseTimeouts))
	c.Requests = cmp.Or(c.Requests, max(1000, least))
	switch {
	case c.Rate < 1 || c.Rate > maxRate:
		return p, usagef("--rate is %d: use 1 to %d requests a second", c.Rate, maxRate)
	case c.Requests < least || c.Requests > mostRequests:
		return p, usagef("--requests is %d: the interval of %s needs at least %d, and a lab keeps at most %d", c.Requests, c.FalseTimeouts, least, mostRequests)
	case float64(c.Requests)/float64(c.Rate) > longestSample.Seconds():
		return p, usagef("%d requests at %d a second take longer than an hour: raise --rate or --false-timeouts", c.Requests, c.Rate)
	case len(c.Delay) == 0:
		return p, usagef("--delay is empty: give it a duration, as 50ms, or several, as 10ms,100ms")
	case slices.Contains(c.Strategies, results.SampleName):
		return p, usagef("--strategies: %s has no timeout that could be false; it is the sample", results.SampleName)
	}
	p = load.Plan{
		Strategies: c.Strategies, Ops: []string{c.Op}, Ctxs: []string{c.Ctx}, Delays: c.Delay,
		Rate: c.Rate, Duration: time.Duration(c.Requests) * (time.Second / time.Duration(c.Rate)), Repeat: 1,
	}
	if c.Network != "" {
		if _, err := badnet.Parse(c.Network); err != nil {
			return p, usagef("--network: %w", err)
		}
		p.Networks, p.WarmUp = []string{c.Network}, warmUpOnNetwork
	}
	return p, nil
}

// share is a part of all, from 0 to 1, which people write in percent.
type share float64

func (s share) String() string { return strconv.FormatFloat(100*float64(s), 'g', 6, 64) + "%" }

// UnmarshalText reads it. kong calls it.
func (s *share) UnmarshalText(text []byte) error {
	number, percent := strings.CutSuffix(string(text), "%")
	v, err := strconv.ParseFloat(number, 64)
	switch {
	case err != nil || !percent:
		return fmt.Errorf("%q is no share: write percent, as 1%% or 0.1%%", text)
	case v == 0:
		return errors.New("0% can't be had, as a call may always take longer: use 0.01% to 50%")
	case !(v >= 0.01 && v <= 50):
		return fmt.Errorf("%s is out of range: use 0.01%% to 50%%", text)
	}
	*s = share(v / 100)
	return nil
}
