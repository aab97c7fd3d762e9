package badnet

import (
	"math"
	"math/rand/v2"
	"time"
)

// farthest is how many jitters a delay may be off: a tail without an end would
// let a packet come out tomorrow, and all behind it.
const farthest = 10

// delay draws the delay of one packet.
func (l Link) delay(r *rand.Rand) time.Duration {
	if l.Jitter == 0 {
		return l.Delay
	}
	off := min(max(l.Distribution.draw(r), -farthest), farthest)
	return max(l.Delay+time.Duration(off*float64(l.Jitter)), 0)
}

// draw returns how many jitters a packet is off, 0 on average.
func (d Distribution) draw(r *rand.Rand) float64 {
	if d == Normal {
		return r.NormFloat64() // several times faster than the quantile of a share
	}
	return d.Quantile(r.Float64())
}

// Quantile returns how many jitters off the delay that share of the packets is
// at most. The share is at least 0 and below 1; of Normal, above 0 too.
func (d Distribution) Quantile(share float64) float64 {
	switch d {
	case Normal:
		return math.Sqrt2 * math.Erfinv(2*share-1)
	case Pareto:
		// The shape is iproute2's, 3. Its values begin at 1; cut at 8, their mean
		// is 3/2-1/128 and the mean of their squares 3-2/8.
		const shape, cut, mean = 3, 8, 1.4921875
		return (min(math.Pow(1-share, -1./shape), cut) - mean) / math.Sqrt(2.75-mean*mean)
	default:
		return 2*share - 1
	}
}
