package proxy

import (
	"math"
	"time"

	"gotimeout/internal/badnet"
)

const (
	kilobyte = 8_000 // bits of the unit of toxiproxy's rates
	maxOff   = 0.02  // share by which a rate may be rounded
)

// Check returns an error that is badnet.ErrCannot, and says what to do, where a
// proxy can't do a valid profile: it has no packets to lose, to reorder, to
// duplicate or to count in a limit, its jitter is uniform, its times are whole
// milliseconds and its rates multiples of 8 kbit/s, to which others are rounded
// if they are at most 2% off.
func Check(p badnet.Profile) error {
	if p.Up == p.Down {
		return check("", p.Up)
	}
	if err := check("up.", p.Up); err != nil {
		return err
	}
	return check("down.", p.Down)
}

func check(prefix string, l badnet.Link) error {
	word := func(l badnet.Link) string { return prefix + badnet.Profile{Up: l, Down: l}.String() }
	limit := l.Limit
	if limit == badnet.DefaultLimit {
		limit = 0
	}
	for _, c := range []struct {
		deed, key string
		asked     bool
		link      badnet.Link
	}{
		{"lose", "loss", l.Loss != 0, badnet.Link{Loss: l.Loss, Burst: l.Burst}},
		{"reorder", "reorder", l.Reorder != 0, badnet.Link{Reorder: l.Reorder}},
		{"duplicate", "duplicate", l.Duplicate != 0, badnet.Link{Duplicate: l.Duplicate}},
		{"count", "limit", limit != 0, badnet.Link{Limit: limit}},
	} {
		if c.asked {
			return badnet.Cannot("the proxy driver can't %s packets (%s), since a proxy sees none: use netem or tun, or leave %s out",
				c.deed, word(c.link), prefix+c.key)
		}
	}
	switch {
	case l.Jitter != 0 && l.Distribution != badnet.Uniform:
		return badnet.Cannot("the proxy driver has no jitter but a uniform one (%s): use netem or tun, or write %sjitter=%s",
			word(badnet.Link{Jitter: l.Jitter, Distribution: l.Distribution}), prefix, l.Jitter)
	case l.Delay%time.Millisecond != 0:
		return cannotSplit(prefix+"delay", l.Delay)
	case l.Jitter%time.Millisecond != 0:
		return cannotSplit(prefix+"jitter", l.Jitter)
	case off(l.Rate) > maxOff:
		return badnet.Cannot("the proxy driver can't hold %s, since its rates are multiples of 8kbit: use netem or tun, or write %s",
			word(badnet.Link{Rate: l.Rate}), word(badnet.Link{Rate: kilobytes(l.Rate) * kilobyte}))
	}
	return nil
}

func cannotSplit(key string, d time.Duration) error {
	return badnet.Cannot("the proxy driver can't split a millisecond (%s=%s): use netem or tun, or write %s=%s",
		key, d, key, d.Truncate(time.Millisecond)+time.Millisecond)
}

// kilobytes returns what is nearest to a rate in bit/s, and 0 for no bound.
func kilobytes(rate int64) int64 {
	if rate == 0 {
		return 0
	}
	return max((rate+kilobyte/2)/kilobyte, 1)
}

// off returns how far the rate that a proxy has is from the one asked for, as a
// share of that.
func off(rate int64) float64 {
	if rate == 0 {
		return 0
	}
	return math.Abs(float64(kilobytes(rate)*kilobyte-rate)) / float64(rate)
}
