package report

import (
	"fmt"
	"math"
	"strings"

	"gotimeout/internal/results"
)

// The curve as text: a line a timeout, across it the shares on a logarithmic
// scale, a letter a strategy.
const (
	curveLeft   = 10 // columns of the timeouts
	curveWidth  = 68
	leastShare  = 0.0001
	curveDecade = float64(curveWidth-1) / 4 // from 0.01% to 100%
)

// curveColumn is that of a share; what is less than the least is at the left.
func curveColumn(share float64) int {
	return int(math.Round(math.Log10(max(share, leastShare)/leastShare) * curveDecade))
}

// sweepCurve writes the shares of false timeouts of each strategy and of the
// sample, were it cut.
func sweepCurve(b *strings.Builder, r *results.Recommendation) {
	fmt.Fprintf(b, "The same as a curve, on a logarithmic scale; | is the target of %s:\n", inPercent(r.Target))
	b.WriteString(curveScale())
	names := sweptStrategies(r)
	for from := 0; from < len(r.Sweep); {
		to := from
		for to < len(r.Sweep) && r.Sweep[to].Timeout == r.Sweep[from].Timeout {
			to++
		}
		fmt.Fprintf(b, "%8s  %s\n", millis(r.Sweep[from].Timeout), curveLine(r, names, r.Sweep[from:to]))
		from = to
	}
	legend := []string{"o the sample, if it were cut"}
	for i, name := range names {
		legend = append(legend, fmt.Sprintf("%s %s", letter(i), name))
	}
	b.WriteString(wrapped(strings.Join(append(legend, "* several"), ", "), 80))
}

func curveScale() string {
	line := []rune(strings.Repeat(" ", curveLeft+curveWidth+2))
	for _, share := range []float64{leastShare, 0.001, 0.01, 0.1, 1} {
		text := []rune(inPercent(share))
		if share == leastShare {
			text = []rune("0.01%, 0")
		}
		at := curveLeft + curveColumn(share)
		copy(line[min(at, len(line)-len(text)):], text)
	}
	return strings.TrimRight(string(line), " ") + "\n"
}

func curveLine(r *results.Recommendation, names []string, at []results.Swept) string {
	line := []byte(strings.Repeat(".", curveWidth))
	line[curveColumn(r.Target)] = '|'
	line[curveColumn(results.ShareOver(r.Sample.Took, at[0].Timeout))] = 'o'
	taken := map[int]bool{}
	for _, s := range at {
		column := curveColumn(s.Share)
		line[column] = '*'
		if !taken[column] {
			for i, name := range names {
				if name == s.Strategy {
					line[column] = letter(i)[0]
				}
			}
		}
		taken[column] = true
	}
	return string(line)
}

// letter is that of a strategy.
func letter(i int) string { return string(rune('A' + i%26)) }

// sweptStrategies are those of the sweep, in its order.
func sweptStrategies(r *results.Recommendation) (names []string) {
	seen := map[string]bool{}
	for _, s := range r.Sweep {
		if !seen[s.Strategy] {
			seen[s.Strategy] = true
			names = append(names, s.Strategy)
		}
	}
	return names
}
