package results

import "math"

// An interval is of 95%: 2.5% lie under it, and 2.5% above, where a normal
// variable is z standard deviations off.
const (
	outside = 0.025
	z       = 1.959963984540054
)

// Wilson returns the 95% interval of a share that was seen count times of n:
// E. B. Wilson, "Probable inference, the law of succession, and statistical
// inference", 1927. Unlike the textbook's it is good near 0 and for few.
func Wilson(count, n int) (low, high float64) {
	if n == 0 {
		return 0, 1
	}
	of, seen := float64(n), float64(count)/float64(n)
	middle := seen + z*z/(2*of)
	half := z * math.Sqrt(seen*(1-seen)/of+z*z/(4*of*of))
	scale := 1 + z*z/of
	low, high = (middle-half)/scale, (middle+half)/scale
	switch count { // where rounding would leave a trace
	case 0:
		low = 0
	case n:
		high = 1
	}
	return low, high
}

// Tells returns of how many requests a share must be seen so that Wilson's
// interval leaves out another one.
func Tells(seen, other float64) int {
	return int(math.Ceil(z * z * other * (1 - other) / ((seen - other) * (seen - other))))
}

// SampleSize is the least sample from which a timeout for a share of false
// timeouts can be told with its whole 95% interval: in a smaller one too often
// not even the longest time is over it.
func SampleSize(share float64) int {
	return int(math.Ceil(math.Log(outside) / math.Log1p(-share)))
}

// ranks returns which of n sorted times, from 1, are the ends of the 95%
// interval of what all but a share of the times don't exceed, whatever their
// distribution: so many of n are under it as a binomial variable says. low is 0
// and high n+1 where n is too small.
func ranks(n int, share float64) (low, high int) {
	low = -1
	logP, odds := float64(n)*math.Log(share), math.Log1p(-share)-math.Log(share) // of none under it
	cumulative := 0.0
	for k := 0; k <= n; k++ {
		cumulative += math.Exp(logP)
		if low < 0 && cumulative > outside {
			low = k
		}
		if cumulative >= 1-outside {
			return low, k + 1
		}
		logP += math.Log(float64(n-k)) - math.Log(float64(k+1)) + odds
	}
	return max(low, 0), n + 1
}
