package report

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"gotimeout/internal/palette"
	"gotimeout/internal/prose"
	"gotimeout/internal/results"
	"gotimeout/strategies"
)

// rule finds one kind of harm or cost in a row.
type rule struct {
	find    func(judged) finding
	calls   func(judged) share // the calls that the verdict judges the row by; nil if the verdict leaves the rule out
	did     string             // what the strategy did to these calls
	serious bool               // the finding harms later calls, so that one is enough for the verdict
}

// share is a number of calls, of all that could have been among them.
type share struct{ n, of int }

// tolerated is the share of calls that a strategy may get wrong. A single one of fifty may be
// the machine's, and says nothing about the next fifty.
const tolerated = 0.01

// beyondChance reports whether the 95% interval of the share is above the tolerated one.
func (s share) beyondChance() bool {
	low, _ := results.Wilson(s.n, s.of)
	return low > tolerated
}

// A figure gets a sentence if it exceeds the floor's by more than this.
const (
	chanceMillis  = 5 // the tolerance of package results for late answers and wasted work
	chanceCount   = 3 // goroutines and connections that the runtime and the pools may have themselves
	chanceSockets = 10
)

// rules returns the rules in the order of their sentences.
func rules() []rule {
	return []rule{
		{find: wrongAnswers, serious: true},
		{find: probeFailures, serious: true},
		{find: goroutinesLeft, serious: true},
		{find: connectionsLeft, serious: true},
		{find: openReceipts, serious: true},
		{find: late, calls: requestsOf(results.Late), did: "completed %s late"},
		{find: waste, calls: ranOn, did: "let %s run on"},
		{find: noSentence, calls: unseenCalls, did: "ended %s where nobody could see the backend"},
		{find: falseTimeouts, calls: requestsOf(results.FalseTimeouts), did: "timed out %s that would have ended in time"},
		{find: failed, calls: requestsOf(results.Failed), did: "failed %s"},
		{find: refused, calls: requestsOf(results.Refused), did: "made the lab refuse %s"},
		{find: straggle, calls: straggling, did: "worked on after %s for more than a tenth of the timeout"},
		{find: overshoot, calls: overshooting, did: "answered %s more than a tenth of the timeout after it"},
		{find: probeTime, calls: slowProbes, did: "slowed %s that followed"},
		{find: timeWait},
		{find: dialed},
	}
}

func wrongAnswers(j judged) finding {
	n := j.beyond(results.WrongAnswers, 0)
	return finding{size: n, figure: digits(n),
		text: fmt.Sprintf("gave %s of %s the answer to another call's question", digits(n), plural(orZero(j.Row, results.Requests)+float64(j.run.Probes), "call"))}
}

func probeFailures(j judged) finding {
	n := j.beyond(results.ProbeFailures, 0)
	of := ""
	if j.run.Probes > 0 {
		of = fmt.Sprintf(" of %d", j.run.Probes)
	}
	return finding{size: n, figure: digits(n),
		text: fmt.Sprintf("spoiled the calls that followed: %s%s clean calls on the same pools failed", digits(n), of)}
}

func goroutinesLeft(j judged) finding {
	return leftBehind(j, results.GoroutinesLeft, "goroutine")
}

func connectionsLeft(j judged) finding {
	return leftBehind(j, results.ConnectionsLeft, "connection")
}

func leftBehind(j judged, place int, noun string) finding {
	n := orZero(j.Row, place)
	return finding{size: j.beyond(place, chanceCount), figure: digits(n),
		text: fmt.Sprintf("still had %s more than before when all of %s had ended and idle connections were closed%s", plural(n, noun), j.requests(), j.bracketed(place, digits))}
}

func openReceipts(j judged) finding {
	n := j.beyond(results.OpenReceipts, 0)
	return finding{size: n, figure: digits(n),
		text: fmt.Sprintf("had %s of %s that still went on when the wait for them was over", digits(n), plural(orZero(j.Row, results.Requests), "run"))}
}

func late(j judged) finding {
	n := j.beyond(results.Late, 0)
	if j.Unbounded {
		n = 0
	}
	return finding{size: n, figure: digits(n),
		text: fmt.Sprintf("did not bind: %s of %s completed more than 5 ms after the timeout of %s", digits(n), j.requests(), setting(j.Timeout))}
}

func waste(j judged) finding {
	seconds := orZero(j.Row, results.WastePer1000)
	size := j.beyond(results.WastePer1000, chanceMillis) // a millisecond a call is a second per 1,000
	if j.RanOn == 0 {
		size = 0
	}
	if j.beyond(results.StraggleP99, chanceMillis) == 0 {
		size *= 2 // this process doesn't show such work, so a sentence about it is more useful
	}
	opening, unseen, rate := "", "", ""
	if at := j.Figures[results.OvershootP99]; at != nil && j.beyond(results.OvershootP99, chanceMillis) == 0 {
		opening = fmt.Sprintf("answered %s after the timeout (%s%s), but ", millis(*at), j.percentile(results.OvershootP99), j.beside(results.OvershootP99, "; ", millis))
	}
	if n := j.TimedOut - j.Seen; n > 0 {
		unseen = fmt.Sprintf(" (%s more could not be seen)", digits(float64(n)))
	}
	if j.run.Rate > 0 {
		rate = fmt.Sprintf(", %s for each second of the load", digits(seconds*j.run.Rate/1000))
	}
	return finding{size: math.Round(size), figure: digits(seconds) + " s",
		text: fmt.Sprintf("%slet %s of %s%s run on in %s: %s backend seconds for nobody per 1,000 requests%s%s%s",
			opening, digits(float64(j.RanOn)), plural(float64(j.Seen), "timed-out call"), unseen, orBackend(j.Backend), digits(seconds), rate, j.bracketed(results.WastePer1000, digits), j.few())}
}

func ranOn(j judged) share { return share{j.RanOn, j.Seen} }

// unseenCalls counts the calls that may have run on without anybody's notice.
func unseenCalls(j judged) share {
	if j.Backend == "" {
		return share{}
	}
	return share{j.TimedOut - j.Seen, j.TimedOut}
}

func noSentence(judged) finding { return finding{} }

// requestsOf counts a column over all repeats.
func requestsOf(place int) func(judged) share {
	return func(j judged) (s share) {
		for _, f := range j.Repeats {
			if f[place] != nil && f[results.Requests] != nil {
				s = share{s.n + int(*f[place]), s.of + int(*f[results.Requests])}
			}
		}
		return s
	}
}

func straggling(j judged) share {
	return over(j.Straggle, highest(j.floor, results.StraggleP99)+j.tenth())
}

func overshooting(j judged) share {
	return over(j.Overshoot, highest(j.floor, results.OvershootP99)+j.tenth())
}

// tenth is how late an answer or an end must be for the verdict: a caller who waits for a
// timeout doesn't notice less, and a busy machine adds less to any strategy.
func (j judged) tenth() float64 { return max(chanceMillis, j.Timeout/10) }

func slowProbes(j judged) share {
	if probeTime(j).size == 0 {
		return share{0, len(j.Probed)}
	}
	return over(j.Probed, highest(j.floor, results.ProbeP99)+4*chanceMillis)
}

// over counts the sorted values over a limit.
func over(sorted []float64, limit float64) share {
	n, _ := slices.BinarySearch(sorted, math.Nextafter(limit, math.Inf(1)))
	return share{len(sorted) - n, len(sorted)}
}

func orBackend(noun string) string { return cmp.Or(noun, "the backend") }

func falseTimeouts(j judged) finding {
	n := j.beyond(results.FalseTimeouts, 0)
	return finding{size: n, figure: digits(n),
		text: fmt.Sprintf("timed out %s of %s, whose calls alone would have ended within %s%s", digits(n), j.requests(), setting(j.Timeout), j.few())}
}

func failed(j judged) finding {
	n := j.beyond(results.Failed, 0)
	return finding{size: n, figure: digits(n),
		text: fmt.Sprintf("failed %s of %s for another reason than a timeout", digits(n), j.requests())}
}

func refused(j judged) finding {
	n := j.beyond(results.Refused, 0)
	return finding{size: n, figure: digits(n),
		text: fmt.Sprintf("made the lab refuse %s of %s to protect itself", digits(n), j.requests())}
}

func straggle(j judged) finding {
	at := orZero(j.Row, results.StraggleP99)
	more := ""
	if n := orZero(j.Row, results.GoroutinesAnswered); j.beyond(results.GoroutinesAnswered, max(chanceCount, orZero(j.floor, results.GoroutinesAnswered))) > 0 {
		more = fmt.Sprintf("; at the last answer there were %s more than before%s", plural(n, "goroutine"), j.bracketed(results.GoroutinesAnswered, digits))
	}
	size := j.beyond(results.StraggleP99, chanceMillis)
	if j.Family == string(strategies.OutOfRequest) {
		size = 0 // it answers before the work begins, and says so
	}
	return finding{size: size, figure: millis(at),
		text: fmt.Sprintf("worked on for %s after its answer (%s%s)%s", millis(at), j.percentile(results.StraggleP99), j.beside(results.StraggleP99, "; ", millis), more)}
}

func overshoot(j judged) finding {
	at, size := orZero(j.Row, results.OvershootP99), j.beyond(results.OvershootP99, chanceMillis)
	if late(j).size > 0 {
		size = 0 // the sentence on the bound that did not bind covers it
	}
	return finding{size: size, figure: millis(at),
		text: fmt.Sprintf("answered %s after the timeout (%s%s)%s", millis(at), j.percentile(results.OvershootP99), j.beside(results.OvershootP99, "; ", millis), j.few())}
}

func probeTime(j judged) finding {
	const chance = 4 * chanceMillis // the probe has few calls
	at, size := orZero(j.Row, results.ProbeP99), j.beyond(results.ProbeP99, max(chance, orZero(j.floor, results.ProbeP99)))
	if j.RoundTrip != nil {
		size = 0 // a slow network delays clean calls too
	}
	return finding{size: size, figure: millis(at),
		text: fmt.Sprintf("slowed the calls that followed: clean calls took %s (%s%s)", millis(at), j.percentile(results.ProbeP99), j.beside(results.ProbeP99, "; ", millis))}
}

func timeWait(j judged) finding {
	n := orZero(j.Row, results.TimeWait)
	return finding{size: j.beyond(results.TimeWait, chanceSockets), figure: digits(n),
		text: fmt.Sprintf("left %s in TIME-WAIT after %s%s", plural(n, "socket"), j.requests(), j.bracketed(results.TimeWait, digits))}
}

func dialed(j judged) finding {
	n, ideal := orZero(j.Row, results.ConnectionsOpened), orZero(j.Row, results.ConnectionsIdeal)
	size := n - 2*ideal - chanceSockets
	if j.Figures[results.ConnectionsIdeal] == nil {
		size = 0
	}
	return finding{size: size, figure: digits(n),
		text: fmt.Sprintf("dialed %s for %s, where %s would do", plural(n, "connection"), j.requests(), digits(ideal))}
}

// part is a piece of a sentence: a link to a row, or text.
type part struct {
	Text, Href, Strategy string
	Colour               int // of the strategy
}

// sentence is a sentence about figures. A serious one is about harm to other calls.
type sentence struct {
	Serious bool
	Parts   []part
}

const (
	mostSentences = 7
	mostAlso      = 3 // how many further rows a sentence names
)

// finding is the result of a rule for a row.
type finding struct {
	row    *results.Row
	size   float64 // the worst finding has the largest size
	text   string  // continues the sentence after "context-cancel on db "
	figure string  // the figure alone, for the rows after the worst
}

// account has the sentences on results: the verdict on each group, and the most important
// findings, one for each rule, about its worst row. Its ids name the rows in the tables of a
// page.
type account struct {
	results   *results.Results
	groups    []*results.Group
	ids       map[*results.Row]string
	several   struct{ timeouts bool }
	Verdicts  []verdict
	Sentences []sentence
}

func newAccount(r *results.Results) *account {
	a := &account{results: r, groups: r.Groups(), ids: map[*results.Row]string{}}
	for i, g := range a.groups {
		for k, row := range g.Rows {
			a.ids[row] = fmt.Sprintf("g%d-r%d", i+1, k+1)
		}
		if g.Floor != nil && a.ids[g.Floor] == "" {
			a.ids[g.Floor] = floorID(i)
		}
		a.several.timeouts = a.several.timeouts || g.Timeout != a.groups[0].Timeout
	}
	for _, of := range rules() {
		found := a.findings(of)
		if len(found) == 0 {
			continue
		}
		a.Sentences = append(a.Sentences, a.sentence(of.serious, found))
	}
	a.Sentences = a.Sentences[:min(len(a.Sentences), mostSentences)]
	a.Verdicts = a.judgeGroups()
	return a
}

// floorID returns the id of the floor's row in the table of a group.
func floorID(group int) string { return fmt.Sprintf("g%d-floor", group+1) }

// where returns the group's name among these results.
func (a *account) where(k results.Key) string {
	s := where(k)
	if a.several.timeouts {
		s += ", " + setting(k.Timeout)
	}
	return s
}

// link returns a link to a row, or only its name if no table has the row.
func (a *account) link(r *results.Row) part {
	on := " on " + a.where(r.Key)
	if id := a.ids[r]; id != "" {
		return part{on, "#" + id, r.Strategy, colourOf(r)}
	}
	return part{Text: r.Strategy + on}
}

// colourOf returns the number of the strategy's colour in the palette.
func colourOf(r *results.Row) int { return r.Place % palette.Strategies }

// findings returns the findings of a rule, the worst first.
func (a *account) findings(of rule) (found []finding) {
	for _, g := range a.groups {
		for _, r := range g.Rows {
			if f := of.find(judged{r, g.Floor, &a.results.Run}); f.size > 0 {
				f.row = r
				found = append(found, f)
			}
		}
	}
	slices.SortStableFunc(found, func(a, b finding) int { return cmp.Compare(b.size, a.size) })
	return found
}

func (a *account) sentence(serious bool, found []finding) sentence {
	s := sentence{serious, []part{a.link(found[0].row), {Text: " " + found[0].text}}}
	also := found[1:]
	for i, f := range also[:min(len(also), mostAlso)] {
		s.Parts = append(s.Parts, part{Text: [2]string{"; also ", ", "}[min(i, 1)]}, a.link(f.row), part{Text: " (" + f.figure + ")"})
	}
	if n := len(also) - mostAlso; n > 0 {
		s.Parts = append(s.Parts, part{Text: " and " + digits(float64(n)) + " more"})
	}
	s.Parts = append(s.Parts, part{Text: "."})
	return s
}

// String returns the sentence without its links.
func (s sentence) String() string {
	var b strings.Builder
	for _, p := range s.Parts {
		b.WriteString(p.Strategy + p.Text)
	}
	return b.String()
}

// judged is a row with its floor.
type judged struct {
	*results.Row
	floor *results.Row
	run   *results.Run
}

// orZero returns a figure, or 0 if it is not known.
func orZero(r *results.Row, place int) float64 {
	if r == nil || r.Figures[place] == nil {
		return 0
	}
	return *r.Figures[place]
}

// requests returns the number of requests in a repeat.
func (j judged) requests() string { return plural(orZero(j.Row, results.Requests), "request") }

// percentile names a p99 and the number of its values. With fewer than 100 values it is the
// longest, and is called max.
func (j judged) percentile(place int) string {
	n := j.Values.Of(place)
	return percentileName(n) + " of " + digits(float64(n))
}

// fewTimeouts is the number of timed-out calls below which a sentence warns of too few.
const fewTimeouts = 20

// few returns the warning of a sentence on too few timed-out calls.
func (j judged) few() string {
	switch {
	case j.TimedOut >= fewTimeouts:
		return ""
	case j.TimedOut == 1:
		return "; only 1 call timed out, which tells little"
	}
	return fmt.Sprintf("; only %d calls timed out, which are few", j.TimedOut)
}

// beyond returns by how much a figure exceeds the floor's. It is 0 if the difference may be
// chance, if the figure is inside the spread of the floor, and if it is not known.
func (j judged) beyond(place int, chance float64) float64 {
	if more := orZero(j.Row, place) - highest(j.floor, place); more > chance {
		return more
	}
	return 0
}

// highest returns the highest figure of the floor's repeats. For a percentile it is the
// longest value, because the floor's values spread up to that.
func highest(floor *results.Row, place int) (v float64) {
	if floor == nil {
		return 0
	}
	switch place {
	case results.AnsweredP50, results.AnsweredP99:
		place = results.AnsweredMax
	case results.OvershootP50, results.OvershootP99:
		place = results.OvershootMax
	}
	for _, f := range append(floor.Repeats, floor.Figures) {
		if f[place] != nil {
			v = max(v, *f[place])
		}
	}
	return v
}

// beside returns the floor's figure with the text before it, or "" without a floor.
func (j judged) beside(place int, before string, format func(float64) string) string {
	if j.floor == nil || j.floor.Figures[place] == nil {
		return ""
	}
	return before + "the floor's: " + format(orZero(j.floor, place))
}

// bracketed returns beside in brackets, or "".
func (j judged) bracketed(place int, format func(float64) string) string {
	s := j.beside(place, "", format)
	if s != "" {
		s = " (" + s + ")"
	}
	return s
}

// plural returns a number with its noun.
func plural(n float64, noun string) string { return digits(n) + " " + prose.Noun(n, noun) }
