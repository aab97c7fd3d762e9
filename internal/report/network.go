package report

import (
	"bytes"
	"cmp"
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"gotimeout/internal/badnet/netlog"
	"gotimeout/internal/palette"
)

//go:embed network.html
var networkText string

var networkTemplate = sync.OnceValue(func() *template.Template {
	return template.Must(template.New("network").Parse(headText + networkText))
})

// networkBegin is the data for the beginning of the page.
type networkBegin struct {
	Title, Lasts string
	Colours      template.CSS
}

// networkEnd is the data for the rest of the page.
type networkEnd struct {
	Made, Cut, Steps string
	Pictures         []template.HTML
	Figures          []networkFigure
}

// networkFigure is a row of the table.
type networkFigure struct{ Name, Up, Down string }

// NetworkHTML writes a log of a bad network, which has a bucket or more, as a page that loads
// nothing: throughput, queue, delay and drops of each direction over time. Its error is that
// of the writer.
func NetworkHTML(w io.Writer, r *netlog.Recorded) error {
	if err := NetworkBegin(w, r.Profile, 0); err != nil {
		return err
	}
	return NetworkEnd(w, r)
}

// NetworkBegin writes the page until the pictures. Where a lab's network is watched for a time
// above 0, the page says so until NetworkEnd.
func NetworkBegin(w io.Writer, profile string, lasts time.Duration) error {
	// What follows hides the sentence.
	p := networkBegin{Title: "A bad network: " + printable(profile, 300), Colours: palette.Page + ".watching:has(+ *) { display: none }"}
	if lasts > 0 {
		p.Lasts = fmt.Sprintf("%g s", lasts.Seconds())
	}
	return writeNetwork(w, "begin", p)
}

// writeNetwork writes a part of the page at once, so that no part of a failed one is written.
func writeNetwork(w io.Writer, part string, data any) error {
	var b bytes.Buffer
	if err := networkTemplate().ExecuteTemplate(&b, part, data); err != nil {
		return err
	}
	_, err := w.Write(b.Bytes())
	return err
}

// NetworkEnd writes the rest of the page.
func NetworkEnd(w io.Writer, r *netlog.Recorded) error {
	end := r.Buckets[len(r.Buckets)-1].To / 1000
	p := networkEnd{
		Made: fmt.Sprintf("%s from %s, by the driver %s with the seed %d. The profile is that of the start.",
			seconds(end), r.Started.UTC().Format("2006-01-02 15:04:05 MST"), printable(r.Driver, 20), r.Seed),
		Steps: "Each step is one bucket of the log, 100 ms.", Figures: networkFigures(r),
	}
	if r.Cut {
		p.Cut = "The log ends in the middle of a line, since network run was killed or still writes. This page shows the first " + seconds(end) + "."
	}
	if n := perStep(len(r.Buckets)); n > 1 {
		p.Steps = fmt.Sprintf("Each step is %d buckets of the log, %s: it has the longest queue, the median of their p50 and the highest p99.",
			n, seconds(float64(n)*netlog.Step.Seconds()))
	}
	for _, way := range networkWays {
		p.Pictures = append(p.Pictures, wayOf(r, way).svg(way.name))
	}
	return writeNetwork(w, "end", p)
}

func seconds(v float64) string { return digits(v) + " s" }

// networkWay is one direction.
type networkWay struct {
	name string
	of   func(netlog.Bucket) netlog.Way
}

var networkWays = [2]networkWay{
	{"up", func(b netlog.Bucket) netlog.Way { return b.Up }},
	{"down", func(b netlog.Bucket) netlog.Way { return b.Down }},
}

// causes of drops, in the order of the picture.
var causes = [4]struct {
	name, colour string
	of           func(netlog.Way) uint64
}{
	{"lost", "--s3", func(w netlog.Way) uint64 { return w.Lost }},
	{"outage", "--s0", func(w netlog.Way) uint64 { return w.Out }},
	{"queue full", "--s5", func(w netlog.Way) uint64 { return w.Overflowed }},
	{"early", "--s4", func(w netlog.Way) uint64 { return w.Early }},
}

// networkStep is what a picture draws as one step. Rates are per second.
type networkStep struct {
	from, to        float64 // seconds
	delivered, sent float64 // bits
	rate            *float64
	queue           float64
	p50, p99        *float64
	drops           [len(causes)]float64
}

// mostSteps is how many a picture can show apart.
const mostSteps = 150

// perStep returns how many buckets make one step.
func perStep(buckets int) int { return (buckets + mostSteps - 1) / mostSteps }

// networkSteps returns the steps of a direction. What is shorter than half a bucket, as the last
// bucket may be, is a part of the step before.
func networkSteps(r *netlog.Recorded, way networkWay) (steps []networkStep) {
	n, left := perStep(len(r.Buckets)), r.Buckets
	for len(left) > 0 {
		k := min(n, len(left))
		if rest := left[k:]; len(rest) > 0 && rest[len(rest)-1].To-rest[0].From < millisOf(netlog.Step)/2 {
			k = len(left)
		}
		steps, left = append(steps, stepOf(left[:k], way)), left[k:]
	}
	return steps
}

func millisOf(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func stepOf(buckets []netlog.Bucket, way networkWay) networkStep {
	s := networkStep{from: buckets[0].From / 1000, to: buckets[len(buckets)-1].To / 1000}
	lasts := 0.
	var p50s []float64
	for _, b := range buckets {
		w := way.of(b)
		lasts += (b.To - b.From) / 1000
		s.delivered += 8 * float64(w.Bytes)
		s.sent += 8 * float64(w.SentBytes)
		s.queue = max(s.queue, float64(w.Queue))
		for i, c := range causes {
			s.drops[i] += float64(c.of(w))
		}
		s.rate = nil
		if w.Rate != nil {
			rate := float64(*w.Rate)
			s.rate = &rate
		}
		if w.DelayP50 != nil && w.DelayP99 != nil {
			p50s = append(p50s, *w.DelayP50)
			p99 := max(*w.DelayP99, *cmp.Or(s.p99, new(float64)))
			s.p99 = &p99
		}
	}
	if len(p50s) > 0 {
		slices.Sort(p50s)
		s.p50 = &p50s[(len(p50s)-1)/2]
	}
	s.delivered /= lasts
	s.sent /= lasts
	for i := range s.drops {
		s.drops[i] /= lasts
	}
	return s
}

// The panels of a direction, one below the other, with the same time across.
const (
	wayPanel  = 70                         // the height of a plot
	wayStep   = nameHeight + wayPanel + 14 // with its heading and the gap
	wayHeight = 36 + 4*wayStep + 20        // with the axis
	wayRight  = pictureWidth - 10
	wayMain   = "--s2"
	waySecond = "--s1"
)

// wayPicture draws the panels of a direction.
type wayPicture struct {
	*picture
	steps []networkStep
	x     scale
	top   float64 // of the next panel
}

func wayOf(r *netlog.Recorded, way networkWay) *picture {
	steps := networkSteps(r, way)
	p := newPicture("The network over time, "+way.name, describeWay(r, way), wayHeight, way.name, map[string]string{"up": "towards the server", "down": "from the server"}[way.name])
	v := &wayPicture{p, steps, scale{low: 0, high: steps[len(steps)-1].to, from: plotLeft, to: wayRight}, 36}
	v.throughput()
	queue := v.begin("queue, packets", mostOf(steps, func(s networkStep) float64 { return s.queue }))
	v.series(wayMain, "", queue, func(s networkStep) *float64 { return &s.queue })
	delay := v.begin("delay, ms", mostOf(steps, func(s networkStep) float64 { return *cmp.Or(s.p99, new(float64)) }), key{"p50", wayMain, "", false}, key{"p99", waySecond, connectionDashes, false})
	v.series(waySecond, connectionDashes, delay, func(s networkStep) *float64 { return s.p99 })
	v.series(wayMain, "", delay, func(s networkStep) *float64 { return s.p50 })
	v.drops(r, way)
	v.across(v.x, v.top-14, v.top-14, roundTicks(0, v.x.high, 6), "seconds since the start")
	return p
}

func mostOf(steps []networkStep, of func(networkStep) float64) (high float64) {
	for _, s := range steps {
		high = max(high, of(s))
	}
	return high
}

// begin draws the heading and the axis of the next panel, and returns its scale.
func (v *wayPicture) begin(heading string, high float64, keys ...key) scale {
	of := letters{ink, textSize, true, ""}
	v.text(1, v.top+10, of, heading)
	v.keys(1+of.width(heading)+12, v.top+6.5, keys...)
	low := v.top + nameHeight + wayPanel
	y := scale{low: 0, high: max(high, 1) * 1.05, from: low, to: v.top + nameHeight + 2}
	v.upwards(y, plotLeft, wayRight, roundTicks(0, y.high, 3))
	v.line(soft, .5, "", point{plotLeft, low}, point{wayRight, low})
	v.top += wayStep
	return y
}

// series draws a line of steps, with gaps where there is no value.
func (v *wayPicture) series(colour, dashes string, y scale, of func(networkStep) *float64) {
	var s series
	end := 0.
	draw := func() {
		if n := len(s.at); n > 0 {
			s.at, s.values = append(s.at, end), append(s.values, s.values[n-1])
			v.line(colour, 1.5, dashes, s.steps(v.x, y)...)
		}
		s = series{}
	}
	for _, step := range v.steps {
		value := of(step)
		if value == nil || step.from > end {
			draw()
		}
		if value != nil {
			s.at, s.values = append(s.at, step.from), append(s.values, *value)
		}
		end = step.to
	}
	draw()
}

// throughput draws what was delivered and sent, and the rate where it is not far above.
func (v *wayPicture) throughput() {
	most := mostOf(v.steps, func(s networkStep) float64 { return s.delivered })
	sent := mostOf(v.steps, func(s networkStep) float64 { return s.sent })
	rate := mostOf(v.steps, func(s networkStep) float64 { return *cmp.Or(s.rate, new(float64)) })
	high := max(most, min(sent, 2*max(most, rate)))
	keys := []key{{"delivered", wayMain, "", false}, {"sent", waySecond, connectionDashes, false}}
	if drawn := rate > 0 && rate < 4*high; drawn {
		high = max(high, rate)
		keys = append(keys, key{"rate", ink, "7 3", false})
	}
	unit, name := 1., "bit/s"
	for _, u := range []struct {
		of   float64
		name string
	}{{1e3, "kbit/s"}, {1e6, "Mbit/s"}, {1e9, "Gbit/s"}} {
		if high >= u.of {
			unit, name = u.of, u.name
		}
	}
	in := func(bits float64) *float64 { bits /= unit; return &bits }
	y := v.begin("throughput, "+name, high/unit, keys...)
	v.series(waySecond, connectionDashes, y, func(s networkStep) *float64 { return in(s.sent) })
	v.series(wayMain, "", y, func(s networkStep) *float64 { return in(s.delivered) })
	v.series(ink, "7 3", y, func(s networkStep) *float64 {
		if s.rate == nil || *s.rate > high {
			return nil
		}
		return in(*s.rate)
	})
}

// drops draws the drops of each cause, one on the other.
func (v *wayPicture) drops(r *netlog.Recorded, way networkWay) {
	sum := func(s networkStep) (all float64) {
		for _, n := range s.drops {
			all += n
		}
		return all
	}
	total := totalOf(r, way)
	var keys []key
	for _, c := range causes {
		if n := c.of(total); n > 0 {
			keys = append(keys, key{c.name, c.colour, "", true})
		}
	}
	y := v.begin("drops a second", mostOf(v.steps, sum), keys...)
	for i, c := range causes {
		var path strings.Builder
		for _, s := range v.steps {
			below := 0.
			for _, n := range s.drops[:i] {
				below += n
			}
			if s.drops[i] > 0 {
				left := v.x.at(s.from)
				path.WriteString(straight(corners(left, y.at(below+s.drops[i]), max(v.x.at(s.to), left+1), y.at(below)), true))
			}
		}
		if path.Len() > 0 {
			v.path("fill:var("+c.colour+")", path.String())
		}
	}
}

// totalOf sums the counts of a direction. Its queue and delays are the highest.
func totalOf(r *netlog.Recorded, way networkWay) (t netlog.Way) {
	for _, b := range r.Buckets {
		w := way.of(b)
		t.SentBytes, t.SentPackets = t.SentBytes+w.SentBytes, t.SentPackets+w.SentPackets
		t.Bytes, t.Packets = t.Bytes+w.Bytes, t.Packets+w.Packets
		t.Lost, t.Out, t.Overflowed, t.Early = t.Lost+w.Lost, t.Out+w.Out, t.Overflowed+w.Overflowed, t.Early+w.Early
		t.Duplicated, t.Reordered, t.Corrupted = t.Duplicated+w.Duplicated, t.Reordered+w.Reordered, t.Corrupted+w.Corrupted
		t.Queue = max(t.Queue, w.Queue)
		t.DelayP50, t.DelayP99 = higher(t.DelayP50, w.DelayP50), higher(t.DelayP99, w.DelayP99)
	}
	return t
}

// higher returns the higher of two figures, of which either may be unknown.
func higher(a, b *float64) *float64 {
	if a == nil || b != nil && *b > *a {
		return b
	}
	return a
}

// networkFigures returns the rows of the table.
func networkFigures(r *netlog.Recorded) (rows []networkFigure) {
	totals := [2]netlog.Way{totalOf(r, networkWays[0]), totalOf(r, networkWays[1])}
	add := func(name string, of func(netlog.Way) string) {
		rows = append(rows, networkFigure{name, of(totals[0]), of(totals[1])})
	}
	count := func(name string, of func(netlog.Way) uint64) {
		add(name, func(w netlog.Way) string { return digits(float64(of(w))) })
	}
	add("sent", func(w netlog.Way) string { return packetsAndBytes(w.SentPackets, w.SentBytes) })
	add("delivered", func(w netlog.Way) string { return packetsAndBytes(w.Packets, w.Bytes) })
	add("dropped", func(w netlog.Way) string {
		if w.SentPackets == 0 {
			return digits(float64(w.Dropped()))
		}
		return digits(float64(w.Dropped())) + ", " + inPercent(float64(w.Dropped())/float64(w.SentPackets))
	})
	count("lost by chance", func(w netlog.Way) uint64 { return w.Lost })
	count("in an outage", func(w netlog.Way) uint64 { return w.Out })
	count("by a full queue", func(w netlog.Way) uint64 { return w.Overflowed })
	count("early, by codel or pie", func(w netlog.Way) uint64 { return w.Early })
	count("duplicated", func(w netlog.Way) uint64 { return w.Duplicated })
	count("reordered", func(w netlog.Way) uint64 { return w.Reordered })
	count("corrupted", func(w netlog.Way) uint64 { return w.Corrupted })
	add("longest queue", func(w netlog.Way) string { return plural(float64(w.Queue), "packet") })
	add("highest p50 of a bucket's delays", func(w netlog.Way) string { return delayText(w.DelayP50) })
	add("highest p99 of a bucket's delays", func(w netlog.Way) string { return delayText(w.DelayP99) })
	return rows
}

func delayText(ms *float64) string {
	if ms == nil {
		return "–"
	}
	return millis(*ms)
}

func packetsAndBytes(packets, bytes int) string {
	return plural(float64(packets), "packet") + ", " + digits(math.Round(float64(bytes)/1000)) + " kB"
}

func describeWay(r *netlog.Recorded, way networkWay) string {
	t := totalOf(r, way)
	var drops []string
	for _, c := range causes {
		drops = append(drops, c.name+" "+digits(float64(c.of(t))))
	}
	return fmt.Sprintf("Four panels over the same time: throughput, queue, delay and drops. %s were sent and %s delivered. The longest queue was of %s, the highest p99 of the delay %s. Dropped packets: %s.",
		packetsAndBytes(t.SentPackets, t.SentBytes), packetsAndBytes(t.Packets, t.Bytes), plural(float64(t.Queue), "packet"), delayText(t.DelayP99), strings.Join(drops, ", "))
}
