package netem

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"gotimeout/internal/badnet"
)

// tc writes the params as tc-netem(8) reads them.
func (p params) tc() string {
	words := []string{"netem limit", strconv.Itoa(p.limit)}
	add := func(format string, args ...any) { words = append(words, fmt.Sprintf(format, args...)) }
	if p.delay > 0 {
		add("delay %s", tcTime(p.delay))
	}
	if p.jitter > 0 {
		add("%s", tcTime(p.jitter))
	}
	if p.distribution != badnet.Uniform {
		add("distribution %s", p.distribution)
	}
	if p.loss > 0 {
		add("loss %s", tcShare(p.loss))
	}
	if p.leave > 0 {
		add("loss gemodel %s %s", tcShare(p.enter), tcShare(p.leave))
	}
	if p.duplicate > 0 {
		add("duplicate %s", tcShare(p.duplicate))
	}
	if p.reorder > 0 {
		add("reorder %s", tcShare(p.reorder))
	}
	if p.bits > 0 {
		add("rate %s", tcRate(p.bits))
	}
	if p.overhead != 0 {
		add("%d", p.overhead)
	}
	return strings.Join(words, " ")
}

// tcTime writes the largest unit that leaves no fraction.
func tcTime(d time.Duration) string {
	units := []struct {
		unit time.Duration
		name string
	}{{time.Second, "s"}, {time.Millisecond, "ms"}, {time.Microsecond, "us"}}
	for _, u := range units {
		if d%u.unit == 0 {
			return strconv.FormatInt(int64(d/u.unit), 10) + u.name
		}
	}
	return strconv.FormatInt(int64(d), 10) + "ns"
}

func tcRate(bits int64) string {
	units := []struct {
		unit int64
		name string
	}{{1e12, "tbit"}, {1e9, "gbit"}, {1e6, "mbit"}, {1e3, "kbit"}}
	for _, u := range units {
		if bits%u.unit == 0 {
			return strconv.FormatInt(bits/u.unit, 10) + u.name
		}
	}
	return strconv.FormatInt(bits, 10) + "bit"
}

// tcShare writes ten digits: more than the 32 bits in which the kernel keeps it.
func tcShare(share float64) string {
	return strconv.FormatFloat(share*100, 'g', 10, 64) + "%"
}
