package report

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"gotimeout/internal/results"
	"gotimeout/internal/stats"
)

// Lanes returns an SVG file that shows for each strategy of a group when the calls of the
// longest delay were answered, when they ended, and when their backend ended.
func Lanes(g *results.Group) string { return lanesOf(g).standalone() }

// The heights in a picture of lanes.
const (
	laneHeight  = 9
	laneStep    = 11
	nameHeight  = 14
	lanesHeight = nameHeight + 3*laneStep + 10 // the height of a strategy
	lanesRight  = pictureWidth - 42            // leaves room for a figure beside the longest bar
)

func lanesOf(g *results.Group) *picture {
	second := "the timeout of " + setting(g.Timeout)
	if n := longest(g); n > 0 {
		second = fmt.Sprintf("calls of %s under a timeout of %s, medians", setting(n), setting(g.Timeout))
	}
	height := 36 + 18 + 16 + len(g.Rows)*lanesHeight + 34
	p := newPicture("When it was over, on "+where(g.Key), describeLanes(g), height, where(g.Key), second)
	p.lanesLegend(g)
	x := scale{low: 0, high: lanesEnd(g), from: 3, to: lanesRight}
	for i, r := range g.Rows {
		p.lanes(r, x, g.Timeout, 70+float64(i)*lanesHeight)
	}
	label := letters{ink, smallSize, true, "middle"}
	text := "timeout " + setting(g.Timeout)
	half := label.width(text) / 2
	p.text(min(max(x.at(g.Timeout), 3+half), pictureWidth-2-half), 64, label, text)
	bottom := 70 + float64(len(g.Rows))*lanesHeight - 2
	p.across(x, bottom, bottom, roundTicks(0, x.high, 5), "ms after the request began")
	return p
}

// longest returns the longest delay of a group, or 0 if it has none.
func longest(g *results.Group) (delay float64) {
	for _, r := range g.Rows {
		for _, d := range r.Delays {
			delay = max(delay, d)
		}
	}
	return delay
}

// times returns the times of a lane, in the order in which they are drawn.
func times(l results.Lane) [3]*float64 { return [3]*float64{l.Answered, l.Ended, l.BackendEnded} }

var laneNames = [3]string{"answered", "ended", "backend ended"}

// lanesEnd returns the end of the axis, in milliseconds.
func lanesEnd(g *results.Group) float64 {
	end := g.Timeout * 1.05
	for _, r := range g.Rows {
		for _, at := range times(r.Slow) {
			if at != nil {
				end = max(end, *at)
			}
		}
	}
	return min(max(end, 1), 1e9)
}

func describeLanes(g *results.Group) string {
	of := make([]string, len(g.Rows))
	for i, r := range g.Rows {
		parts := make([]string, 3)
		for lane, at := range times(r.Slow) {
			parts[lane] = laneNames[lane] + " unknown"
			if at != nil {
				parts[lane] = laneNames[lane] + " " + millis(*at)
			}
		}
		of[i] = printable(r.Strategy, 40) + ": " + strings.Join(parts, ", ")
	}
	return fmt.Sprintf("Bars from 0, three a strategy, against a line at the timeout of %s. %s.", setting(g.Timeout), strings.Join(of, "; "))
}

func (p *picture) lanesLegend(g *results.Group) {
	x, of := 1.0, letters{ink, smallSize, false, ""}
	for lane, name := range laneNames {
		p.bar(ink, lane, x, 37, x+16)
		p.text(x+20, 45.5, of, name)
		x += 20 + of.width(name) + 12
	}
	for _, r := range g.Rows {
		if at := times(r.Slow); at[0] == nil || at[1] == nil || at[2] == nil {
			p.text(x, 45.5, of, "?  nobody could see")
			return
		}
	}
}

// bar draws one of the three lanes, from x0 to x1 below y.
func (p *picture) bar(colour string, lane int, x0, y, x1 float64) {
	switch x1 = max(x1, x0+1); lane {
	case 0:
		p.fill(colour, x0, y, x1, y+laneHeight)
	case 1:
		p.hatch(colour, x0, y, x1, y+laneHeight)
	default:
		p.outline(colour, x0, y, x1, y+laneHeight)
	}
}

// lanes draws the name and the bars of a row, each with its figure, and the line
// of the timeout through them, from top downwards.
func (p *picture) lanes(r *results.Row, x scale, timeout, top float64) {
	line, name, text := x.at(timeout), letters{ink, textSize, true, ""}, printable(r.Strategy, 24)
	p.text(x.from, top+10, name, text)
	for lane, at := range times(r.Slow) {
		y := top + nameHeight + float64(lane)*laneStep
		if at == nil {
			p.text(x.from+2, y+8, letters{soft, smallSize, false, ""}, "?")
			continue
		}
		p.bar(lookAt(r.Place).colour, lane, x.from, y, x.at(*at))
		value := x.at(*at) + 4
		if value < line+3 && value+28 > line {
			value = line + 4 // so that the figure doesn't cross the line
		}
		p.text(value, y+8, letters{ink, smallSize, false, ""}, digits(*at))
	}
	from := top - 4
	if x.from+name.width(text)+2 > line {
		from = top + nameHeight - 1 // so that the line doesn't cross the name
	}
	p.line(ink, 1.2, "", point{line, from}, point{line, top + lanesHeight - 4})
}

// Latency returns an SVG file that shows how long the callers of each strategy of a group
// waited, from the median to the p99.9.
func Latency(g *results.Group) string { return latencyOf(g).standalone() }

// The plot of a picture with an axis on each side.
const (
	plotTop    = 42
	plotLeft   = 44
	plotRight  = pictureWidth - 22
	plotHeight = 250 // with the axes
)

func latencyOf(g *results.Group) *picture {
	lines := (len(g.Rows) + 1) / 2
	p := newPicture("How long callers waited, on "+where(g.Key), describeLatency(g), 36+plotHeight+lines*legendStep+8,
		where(g.Key), "all calls: so many had their answer within…")
	bottom := float64(36 + plotHeight - 20)
	x := scale{low: 0, high: 3, from: plotLeft, to: plotRight}
	y := scale{from: bottom, to: plotTop, log: true}
	y.low, y.high = latencyRange(g)
	p.across(x, bottom, plotTop, []tick{{0, "0"}, {tail(50), "50 %"}, {1, "90 %"}, {2, "99 %"}, {3, "99.9 %"}}, "")
	p.upwards(y, plotLeft, plotRight, decadeTicks(y.low, y.high, func(v float64) string {
		if v >= 1000 {
			return digits(v/1000) + " s"
		}
		return millis(v)
	}))
	for _, r := range g.Rows {
		p.distribution(r, x, y)
	}
	at := y.at(g.Timeout)
	p.line(ink, 1.2, "", point{plotLeft, at}, point{plotRight, at})
	label := at + 13
	if label > bottom-2 {
		label = at - 5
	}
	p.text(plotRight-4, label, letters{ink, smallSize, true, "end"}, "timeout "+setting(g.Timeout))
	p.legend(36+plotHeight, g.Rows)
	return p
}

// tail spreads the percentiles, so that p90, p99 and p99.9 are equally far apart.
func tail(percent float64) float64 { return -math.Log10(1 - percent/100) }

// latencyRange returns the range of the logarithmic axis, within ten microseconds to some
// days.
func latencyRange(g *results.Group) (low, high float64) {
	within := func(v float64) float64 { return min(max(v, 0.01), 1e9) }
	low, high = within(g.Timeout), within(g.Timeout)
	for _, r := range g.Rows {
		if n := len(r.Answered); n > 0 {
			low, high = min(low, within(r.Answered[0])), max(high, within(r.Answered[n-1]))
		}
	}
	return math.Pow(10, math.Floor(math.Log10(low))), high * 1.3
}

func describeLatency(g *results.Group) string {
	of := make([]string, len(g.Rows))
	for i, r := range g.Rows {
		of[i] = printable(r.Strategy, 40) + ": unknown"
		if len(r.Answered) > 0 {
			of[i] = fmt.Sprintf("%s: half within %s, 90 %% within %s, 99 %% within %s, all within %s", printable(r.Strategy, 40),
				millis(stats.Percentile(r.Answered, 50)), millis(stats.Percentile(r.Answered, 90)),
				millis(stats.Percentile(r.Answered, 99)), millis(r.Answered[len(r.Answered)-1]))
		}
	}
	return fmt.Sprintf("A curve a strategy: across the percentile of calls, upwards the time until they were answered, on a logarithmic axis, against a line at the timeout of %s. %s.", setting(g.Timeout), strings.Join(of, "; "))
}

// distribution draws the answers of a row by their percentile.
func (p *picture) distribution(r *results.Row, x, y scale) {
	n := len(r.Answered)
	if n == 0 {
		return
	}
	at := func(across float64) point {
		percent := 100 * (1 - math.Pow(10, -across))
		return point{x.at(across), y.at(stats.Percentile(r.Answered, percent))}
	}
	end := min(3, math.Log10(float64(2*n))) // the percentile of the longest answer
	const steps = 180
	var points []point
	for i := range steps + 1 {
		next := at(end * float64(i) / steps)
		if k := len(points); k > 1 && points[k-1].y == next.y && points[k-2].y == next.y {
			points = points[:k-1]
		}
		points = append(points, next)
	}
	l := lookAt(r.Place)
	p.line(l.colour, 1.7, l.dashes, points...)
	for across := 0.12 + 0.09*float64(l.place%8); across < end; across += 0.8 {
		p.mark(l, at(across))
	}
}

// Timelines returns an SVG file that shows the goroutines and connections of each strategy
// of a group during load, drain and probe.
func Timelines(g *results.Group) string { return timelinesOf(g).standalone() }

const (
	panelHeight  = 36
	panelLeft    = 28                            // leaves room for the scale
	panelsHeight = nameHeight + panelHeight + 12 // with the name and the gap
)

func timelinesOf(g *results.Group) *picture {
	p := newPicture("What there was at each moment, on "+where(g.Key), describeTimelines(g), 36+18+len(g.Rows)*panelsHeight+34,
		where(g.Key), "of the lab, from the load to what was left in the end")
	p.timelineLegend()
	x := scale{from: panelLeft, to: pictureWidth - 14}
	var high float64
	x.low, x.high, high = timelineRange(g)
	for i, r := range g.Rows {
		p.panel(r, x, high, 56+float64(i)*panelsHeight)
	}
	bottom := 56 + float64(len(g.Rows))*panelsHeight - 4
	p.across(x, bottom, bottom, roundTicks(x.low, x.high, 6), "seconds from the begin of the load")
	return p
}

// timelineRange returns the times of the first and the last sample, in seconds, and the
// highest value of all series.
func timelineRange(g *results.Group) (from, to, high float64) {
	to, high = 1e-3, 1
	for _, r := range g.Rows {
		for _, s := range r.Timeline.Samples {
			from, to = min(from, s.At/1000), max(to, s.At/1000)
			high = max(high, float64(s.Goroutines))
			if s.Connections != nil {
				high = max(high, float64(*s.Connections))
			}
		}
	}
	return max(from, -1e9), min(to, 1e9), high
}

// series is a count over time, in seconds.
type series struct {
	at, values []float64
	most       float64 // the highest value from the load until all work had ended, without the probe
}

func (s *series) add(of results.Sample, value int) {
	v := float64(value)
	s.at, s.values = append(s.at, of.At/1000), append(s.values, v)
	switch of.Phase {
	case results.Load, results.Answered, results.Drain, results.Drained:
		s.most = max(s.most, v)
	}
}

// seriesOf returns the goroutines and the connections of a row, in the order of time.
func seriesOf(r *results.Row) (goroutines, connections series) {
	for _, s := range slices.SortedStableFunc(slices.Values(r.Timeline.Samples), func(a, b results.Sample) int { return cmp.Compare(a.At, b.At) }) {
		goroutines.add(s, s.Goroutines)
		if s.Connections != nil {
			connections.add(s, *s.Connections)
		}
	}
	return goroutines, connections
}

// course returns a series in three figures: before the load, the highest until all work had
// ended, and at the end.
func (s series) course() string {
	if len(s.values) == 0 {
		return "?"
	}
	return fmt.Sprintf("%s → %s → %s", digits(s.values[0]), digits(s.most), digits(s.values[len(s.values)-1]))
}

// steps returns the points of the series' line. A value holds until the next sample.
func (s series) steps(x, y scale) (points []point) {
	for i, at := range s.at {
		if i > 0 {
			points = append(points, point{x.at(at), points[len(points)-1].y})
		}
		points = append(points, point{x.at(at), y.at(s.values[i])})
	}
	return points
}

func describeTimelines(g *results.Group) string {
	of := make([]string, len(g.Rows))
	for i, r := range g.Rows {
		goroutines, connections := seriesOf(r)
		of[i] = fmt.Sprintf("%s: goroutines %s, connections %s", printable(r.Strategy, 40), goroutines.course(), connections.course())
	}
	return "Two lines a strategy over time; the drain and the probe are shaded. Before, at most until all had ended, and in the end: " + strings.Join(of, "; ") + "."
}

const connectionDashes = "2 2"

func (p *picture) timelineLegend() {
	p.keys(1, 42, key{"goroutines", ink, "", false}, key{"connections", ink, connectionDashes, false}, key{"drain", drainShade, "", true}, key{"probe", probeShade, "", true})
}

// panel draws a row's small plot, from top downwards. All plots have the same scale.
func (p *picture) panel(r *results.Row, x scale, most, top float64) {
	goroutines, connections := seriesOf(r)
	p.text(1, top+10, letters{ink, textSize, true, ""}, printable(r.Strategy, 24))
	small := letters{soft, smallSize, false, "end"}
	p.text(x.to, top+10, small, goroutines.course()+" goroutines")
	high, low := top+nameHeight+1, top+nameHeight+panelHeight
	y := scale{low: 0, high: most, from: low, to: high}
	drained := x.at(r.Timeline.Drained / 1000)
	p.fill(drainShade, x.at(r.Timeline.Answered/1000), high, drained, low)
	if at := lastProbe(r); at > 0 {
		p.fill(probeShade, drained, high, min(max(x.at(at/1000), drained+3), x.to), low) // visible even for a short probe
	}
	p.text(x.from-4, low+1, small, "0")
	p.text(x.from-4, high+7, small, digits(most))
	p.line(soft, .5, "", point{x.from, low}, point{x.to, low})
	colour := lookAt(r.Place).colour
	p.line(colour, 1.5, "", goroutines.steps(x, y)...)
	p.line(colour, 1.5, connectionDashes, connections.steps(x, y)...)
}

// lastProbe returns the time of the last sample of the probe, or 0 if there is none.
func lastProbe(r *results.Row) (at float64) {
	for _, s := range r.Timeline.Samples {
		if s.Phase == results.Probe {
			at = max(at, s.At)
		}
	}
	return at
}
