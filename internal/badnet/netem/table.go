package netem

import (
	"math"

	"gotimeout/internal/badnet"
)

const (
	tableScale = 8192 // of a table's entry that is one jitter off
	tableSize  = 4096 // as iproute2's; the kernel takes 16384
)

// table returns a distribution's quantiles as netem takes them: it draws one
// entry for each packet. No entry can say more than 4 jitters, so a longer tail
// is cut there and the rest stretched until the mean is 0 and the deviation that
// of the whole again.
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

// standardize cuts the values at most jitters and makes their mean 0 and their
// deviation 1. Cutting moves both, hence the rounds.
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
