package badnet

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

func parseDelay(l *Link, value string) (err error) {
	l.Delay, err = parseDuration(value)
	return err
}

func parseJitter(l *Link, value string) (err error) {
	value, name, named := strings.Cut(value, ",")
	l.Distribution = Uniform
	if named {
		i := slices.Index(distributions, name)
		if i < 0 {
			return fmt.Errorf("unknown distribution %q; there are %s", name, list(distributions))
		}
		l.Distribution = Distribution(i)
	}
	l.Jitter, err = parseDuration(value)
	return err
}

func parseLoss(l *Link, value string) (err error) {
	value, rest, more := strings.Cut(value, ",")
	l.Burst = 0
	if more {
		burst, ok := strings.CutPrefix(rest, "burst=")
		if !ok {
			return fmt.Errorf("%q behind the comma; write the mean length of a burst there, as in loss=1%%,burst=3", rest)
		}
		if l.Burst, err = parseNumber(burst, ""); err != nil || l.Burst < 1 {
			return fmt.Errorf("unreadable burst %q; write the mean number of packets, 1 or more, as in burst=3", burst)
		}
	}
	l.Loss, err = parsePercent(value)
	return err
}

func parseRate(l *Link, value string) error {
	l.Rate = 0
	if value == "none" {
		return nil
	}
	for _, u := range units {
		digits, ok := strings.CutSuffix(strings.ToLower(value), u.name)
		if !ok {
			continue
		}
		if bits, err := parseNumber(digits, u.exponent); err == nil && bits >= 1 && bits < 1e18 {
			l.Rate = int64(bits)
			return nil
		}
		break
	}
	return errors.New("unreadable rate; write a number above 0 and bit, kbit, mbit or gbit, as in rate=1mbit, or none")
}

func parseReorder(l *Link, value string) (err error) {
	l.Reorder, err = parsePercent(value)
	return err
}

func parseDuplicate(l *Link, value string) (err error) {
	l.Duplicate, err = parsePercent(value)
	return err
}

func parseLimit(l *Link, value string) (err error) {
	l.Limit, err = strconv.Atoi(value)
	if err != nil || l.Limit < 1 {
		return errors.New("unreadable limit; write a number of packets, 1 or more, as in limit=1000")
	}
	return nil
}

func parseDuration(value string) (time.Duration, error) {
	d, err := time.ParseDuration(value)
	if err != nil || value == "0" {
		return 0, errors.New("unreadable duration; write a number and its unit, as in 100ms or 1.5s")
	}
	return d, nil
}

// parsePercent takes no share: whether 0.5 were half of all or half a percent
// would be a guess.
func parsePercent(value string) (float64, error) {
	digits, ok := strings.CutSuffix(value, "%")
	v, err := parseNumber(digits, "e-2")
	if !ok || err != nil {
		return 0, errors.New("unreadable share; write a percentage, as in 1% or 0.1%")
	}
	return v, nil
}

// parseNumber reads plain digits, and shifts their point by the exponent: to
// the last bit, which a multiplication isn't.
func parseNumber(digits, exponent string) (float64, error) {
	if strings.Trim(digits, "0123456789.") != "" {
		return 0, strconv.ErrSyntax
	}
	return strconv.ParseFloat(digits+exponent, 64)
}
