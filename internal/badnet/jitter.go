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
	switch d {
	case Normal:
		return r.NormFloat64()
	case Pareto:
		// The shape is iproute2's, 3. Its values begin at 1; cut at 8, their mean
		// is 3/2-1/128 and the mean of their squares 3-2/8.
		const shape, cut, mean = 3, 8, 1.4921875
		return (min(math.Pow(1-r.Float64(), -1./shape), cut) - mean) / math.Sqrt(2.75-mean*mean)
	default:
		return 2*r.Float64() - 1
	}
}
