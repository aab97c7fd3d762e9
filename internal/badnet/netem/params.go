package netem

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"gotimeout/internal/badnet"
)

// Bounds of the kernel's netem.
const (
	maxJitter  = math.MaxInt32 * time.Nanosecond // it truncates longer ones
	fullPacket = 1500                            // bytes
	unlimited  = 1_000_000                       // packets: 2 GB of the kernel's memory if all were full
	// instant is a rate, in bit/s, at which 64 KiB take less than a nanosecond: a
	// netem with a rate keeps packets in order, and this rate costs no time.
	instant = 1_000_000_000_000_000
)

// params are the parameters of a netem, as the kernel means them.
type params struct {
	limit        int // packets, including those in the delay
	delay        time.Duration
	jitter       time.Duration
	distribution badnet.Distribution
	loss         float64 // independent losses; 0 with bursts
	enter, leave float64 // chances to enter and to leave a burst of losses; 0 without
	correlation  float64 // of the losses
	corrupt      float64
	duplicate    float64
	reorder      float64
	bits         int64 // per second; 0: no rate
	overhead     int   // added to the bytes of a packet
}

// paramsOf translates a Link. header is the size of the link's own header, which
// the kernel counts in each packet's length.
func paramsOf(l badnet.Link, header int) (params, error) {
	if l.Outage > 0 {
		only := badnet.Link{Outage: l.Outage, Every: l.Every, Exponential: l.Exponential}
		outage := badnet.Profile{Up: only, Down: only}
		return params{}, badnet.Cannot("netem has no outages, and %s is asked for: leave outage out, or use the tun driver", outage)
	}
	if l.Trace.File != "" {
		return params{}, badnet.Cannot("netem has one rate, and trace=%s is asked for: leave trace out, or use the tun driver", l.Trace.File)
	}
	if l.Queue != badnet.DropTail {
		return params{}, badnet.Cannot("netem has no queue but droptail, and queue=%s is asked for: leave queue out, or use the tun driver", l.Queue)
	}
	if l.Jitter > maxJitter {
		return params{}, badnet.Cannot("netem can't vary a delay by more than %s, and jitter=%s is asked for: write less, or use the tun driver", maxJitter, l.Jitter)
	}
	p := params{
		limit: unlimited, delay: l.Delay, jitter: l.Jitter, distribution: l.Distribution,
		loss: l.Loss, correlation: l.Correlation, corrupt: l.Corrupt, duplicate: l.Duplicate, reorder: l.Reorder, bits: l.Rate,
	}
	if l.Jitter == 0 {
		p.distribution = badnet.Uniform
	}
	switch {
	case l.Rate > 0:
		// netem's limit also counts the packets in the delay; badnet's doesn't.
		p.limit = limitOf(l) + inDelay(l)
		p.overhead = -header
	case l.Jitter > 0:
		// Without a rate netem's jitter reorders packets. With a rate each packet
		// leaves after the packet before it.
		p.bits = instant
	}
	err := p.lose(l)
	return p, err
}

// lose sets the losses. netem duplicates before it loses: a packet that is to be
// both copied and lost arrives once, and a copy may be lost too. So both shares
// are raised until as many packets are lost, and as many arrive twice, as the Link
// says.
func (p *params) lose(l badnet.Link) error {
	switch {
	case l.Loss == 1:
		p.duplicate = 0 // a copied packet would arrive
	case l.Correlation > 0 && l.Duplicate > 0:
		return badnet.Cannot("netem's copies take part in its correlation of losses: leave out duplicate or correlation, or use the tun driver")
	case l.Burst > 1 && l.Duplicate > 0:
		return badnet.Cannot("netem's copies interrupt its bursts of losses: leave out duplicate or burst, or use the tun driver")
	case l.Burst > 1:
		p.loss, p.leave = 0, 1/l.Burst
		p.enter = p.leave * l.Loss / (1 - l.Loss)
	case l.Loss > 0 && l.Duplicate > 0:
		for range 1000 {
			before := *p
			p.duplicate = (1 - l.Loss) * l.Duplicate / square(1-p.loss)
			p.loss = l.Loss / (1 - p.duplicate)
			if p.duplicate >= 1 || p.loss >= 1 {
				break
			}
			if p.loss-before.loss < 1e-12 && p.duplicate-before.duplicate < 1e-12 {
				return nil
			}
		}
		return badnet.Cannot("netem's copies take the place of lost packets, and it can't do so much of both loss and duplicate: write less of one, or use the tun driver")
	}
	return nil
}

// TC writes a Link as tc-netem(8) reads it for an Ethernet device.
func TC(l badnet.Link) (string, error) {
	const ethernet = 14 // bytes of the header
	p, err := paramsOf(l, ethernet)
	return p.tc(), err
}

// link is the inverse of paramsOf.
func (p params) link() badnet.Link {
	l := badnet.Link{
		Delay: p.delay, Jitter: p.jitter, Distribution: p.distribution,
		Loss: p.loss, Rate: p.bits, Reorder: round(p.reorder), Duplicate: p.duplicate,
		Correlation: round(p.correlation), Corrupt: round(p.corrupt),
	}
	switch {
	case p.leave > 0:
		l.Burst = math.Round(1e3/p.leave) / 1e3
		l.Loss = p.enter / (p.enter + p.leave)
	case p.loss < 1:
		l.Loss = p.loss * (1 - p.duplicate)
		l.Duplicate = p.duplicate * square(1-p.loss) / (1 - l.Loss)
	}
	l.Loss, l.Duplicate = round(l.Loss), round(l.Duplicate)
	if l.Rate >= instant {
		l.Rate = 0
	}
	if l.Rate > 0 {
		l.Limit = max(p.limit-inDelay(l), 1)
		if l.Limit == badnet.DefaultLimit {
			l.Limit = 0
		}
	}
	return l
}

// round restores a share that was stored in 32 bits.
func round(share float64) float64 { return math.Round(share*1e8) / 1e8 }

func square(v float64) float64 { return v * v }

func limitOf(l badnet.Link) int {
	if l.Limit == 0 {
		return badnet.DefaultLimit
	}
	return l.Limit
}

// inDelay is how many full packets are in the delay of a Link at its rate.
func inDelay(l badnet.Link) int {
	bytes := float64(l.Rate) / 8 * (l.Delay + l.Jitter).Seconds()
	return int(min(math.Ceil(bytes/fullPacket), math.MaxInt32/2))
}

const (
	tableScale = 8192 // the entry for one jitter
	tableSize  = 4096 // as iproute2's; the kernel takes 16384
)

// table returns a distribution's quantiles as a netem table: netem draws one entry
// for each packet. No entry can be more than 4 jitters, so that a longer tail is
// cut there and the rest is stretched until the mean is 0 and the deviation is 1.
func table(d badnet.Distribution) []int16 {
	values := make([]float64, tableSize)
	for i := range values {
		values[i] = d.Quantile((float64(i) + 0.5) / tableSize)
	}
	if d != badnet.Uniform {
		standardize(values, math.MaxInt16/float64(tableScale))
	}
	out := make([]int16, tableSize)
	for i, v := range values {
		out[i] = int16(math.Round(v * tableScale))
	}
	return out
}

// standardize cuts the values at most and makes their mean 0 and their deviation 1.
// Each cut changes both, hence the rounds.
func standardize(values []float64, most float64) {
	for range 100 {
		var sum, squares float64
		for i, v := range values {
			v = min(max(v, -most), most)
			values[i] = v
			sum += v
			squares += v * v
		}
		n := float64(len(values))
		mean := sum / n
		deviation := math.Sqrt(squares/n - mean*mean)
		for i, v := range values {
			values[i] = (v - mean) / deviation
		}
	}
	for i, v := range values {
		values[i] = min(max(v, -most), most)
	}
}

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
	if p.correlation > 0 {
		add("%s", tcShare(p.correlation))
	}
	if p.leave > 0 {
		add("loss gemodel %s %s", tcShare(p.enter), tcShare(p.leave))
	}
	if p.corrupt > 0 {
		add("corrupt %s", tcShare(p.corrupt))
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

// Root is what is at the root of a link.
type Root struct {
	Dev      string
	Loopback bool
	Qdisc    string       // its kind and handle; "" for the kernel's own choice
	Ours     bool         // made by this package
	Link     *badnet.Link // what leaving packets go through; nil unless it is a netem of ours
	Totals   badnet.Totals
}
