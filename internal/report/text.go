package report

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"gotimeout/internal/results"
)

// amount formats a figure for a table: a count as it is, other figures with one
// decimal below 100.
func amount(v float64, of results.Column) string {
	switch {
	case of.Unit == "":
		return strconv.FormatFloat(v, 'f', -1, 64)
	case math.Abs(v) < 99.95:
		return strconv.FormatFloat(v, 'f', 1, 64)
	}
	return strconv.FormatFloat(v, 'f', 0, 64)
}

// setting formats the time of a setting as Go writes a Duration.
func setting(ms float64) string { return time.Duration(math.Round(ms * 1e6)).String() }

func settings(ms []float64) string {
	var texts []string
	for _, v := range ms {
		texts = append(texts, setting(v))
	}
	return strings.Join(texts, ",")
}

// place names a row's op, ctx, network and timeout by the lab's parameters.
func place(k results.Key) string {
	return fmt.Sprintf("op=%s ctx=%s network=%s timeout=%s", k.Op, k.Ctx, k.Network, setting(k.Timeout))
}

// networkOf describes the network between a row's calls and their backend; "" is none.
func networkOf(row *results.Row) string {
	switch {
	case row.Network == "none":
		return ""
	case row.RoundTrip == nil:
		return fmt.Sprintf("driver %s, round trip not measured", row.Driver)
	}
	return fmt.Sprintf("driver %s, round trip %s ms measured", row.Driver, strconv.FormatFloat(*row.RoundTrip, 'f', 1, 64))
}

// floorNetwork is networkOf for the floor.
func floorNetwork(g *results.Group) string {
	if g.Floor == nil || !onNetwork(g.Floor) {
		return ""
	}
	return "floor on network=" + g.Floor.Network + ", " + networkOf(g.Floor)
}

func onNetwork(row *results.Row) bool { return row.Network != "" && row.Network != "none" }

// size returns a line with the number of requests and repeats of a group, and how late the
// requests were sent.
func size(g *results.Group) string {
	var requests []float64
	repeats, late, fewest := 0, 0.0, math.MaxInt
	for _, row := range g.Rows {
		if n := row.Figures[results.Requests]; n != nil {
			requests = append(requests, *n)
			late = max(late, *row.Figures[results.SentLateP99])
			fewest = min(fewest, row.Values.Answered)
		}
		repeats = max(repeats, len(row.Repeats))
	}
	if len(requests) == 0 {
		return "no request was sent"
	}
	text := fmt.Sprintf("%v requests a row", slices.Max(requests))
	if least := slices.Min(requests); least < slices.Max(requests) {
		text = fmt.Sprintf("%v to %s", least, text)
	}
	if repeats > 1 {
		text += fmt.Sprintf(", medians of %d repeats", repeats)
	}
	return text + fmt.Sprintf(", sent within %.1f ms (%s)", late, percentileName(fewest))
}

// origin returns a line with the date and the machine of results.
func origin(r *results.Results) string {
	m := r.Run.Lab
	text := fmt.Sprintf("gotimeout %s, %s, %s %s, %d × %s", m.Version, m.Go, m.OS, m.Kernel, m.Processors, m.CPU)
	if reuse := r.Run.TCP["tcp_tw_reuse"]; reuse != "" {
		text += ", tcp_tw_reuse=" + reuse
	}
	return r.Run.Started.UTC().Format("2006-01-02 15:04 MST") + ", " + text
}

// rows returns the rows of a group, its floor last.
func rows(g *results.Group) []*results.Row {
	if g.Floor == nil {
		return g.Rows
	}
	return append(slices.Clip(g.Rows), g.Floor)
}

// plain returns text without control characters, which could move a terminal's cursor.
func plain(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) && r != '\n' {
			return -1
		}
		return r
	}, text)
}

// digits formats a number with about three digits, or all digits before the point, and
// with commas between the thousands.
func digits(v float64) string {
	decimals := 0
	switch a := math.Abs(v); {
	case a == math.Trunc(a):
	case a < 0.995:
		decimals = 2
	case a < 99.95:
		decimals = 1
	}
	s := strconv.FormatFloat(v, 'f', decimals, 64)
	whole, rest, _ := strings.Cut(s, ".")
	sign := ""
	if strings.HasPrefix(whole, "-") {
		sign, whole = "-", whole[1:]
	}
	for i := len(whole) - 3; i > 0; i -= 3 {
		whole = whole[:i] + "," + whole[i:]
	}
	if rest != "" {
		rest = "." + rest
	}
	return sign + whole + rest
}

// millis formats a time in milliseconds.
func millis(v float64) string { return digits(v) + " ms" }

// callsOf describes the calls of a row: their delays, or the name of an own call.
func callsOf(r *results.Row) string {
	switch {
	case r.Own == "":
		return settings(r.Delays)
	case r.Alone == nil:
		return r.Own
	}
	return r.Own + " (alone " + millis(*r.Alone) + ")"
}

// where names what the rows of a group have in common. It leaves out ctx=aware and
// network=none.
func where(k results.Key) string {
	s := k.Op
	if k.Ctx != "" && k.Ctx != "aware" {
		s += ", " + k.Ctx
	}
	if k.Network != "" && k.Network != "none" {
		s += " over " + k.Network
	}
	return s
}

// nothingToShow returns the only sentence on a comparison without a row of a strategy.
func nothingToShow(r *results.Results) string {
	switch {
	case r.Interrupted:
		return "The comparison was interrupted before a row of a strategy had ended, so there is nothing to show."
	case !r.Complete:
		return "The records end before a row of a strategy had ended, so there is nothing to show."
	}
	return "No strategy was compared, so there is nothing to show."
}

// remarks returns the sentences on a comparison as a whole, which limit what its figures
// tell.
func remarks(r *results.Results) (out []string) {
	switch {
	case len(r.Groups()) == 0:
		return []string{nothingToShow(r)}
	case r.Interrupted:
		out = append(out, "The comparison was interrupted: the figures are of the requests until then.")
	case !r.Complete:
		out = append(out, "The records end before the comparison did: the figures are of the cells until then.")
	}
	if late, ms := latest(r); ms > bottleneck {
		out = append(out, fmt.Sprintf("The load generator was the bottleneck: of %s on %s, 1%% of the requests were sent more than %s ms late. "+
			"Take a lower --rate, or another machine for the lab (--url).", late.Strategy, place(late.Key), amount(ms, results.Columns()[results.SentLateP99])))
	}
	return out
}

// percentileName returns "p99", or "max" if the p99 of so few values is the longest.
func percentileName(values int) string {
	if values < tellsP99 {
		return "max"
	}
	return "p99"
}

// tellsP99 is the least number of values whose p99 is not simply the longest.
const tellsP99 = 100

// bottleneck is how many milliseconds late (p99) requests may be sent. If they are later,
// the figures are those of the load generator.
const bottleneck = 5

// latest returns the row whose requests were sent the latest, and how late. Rows with too
// few requests don't count.
func latest(r *results.Results) (row *results.Row, ms float64) {
	for _, candidate := range r.Rows {
		if v := candidate.Figures[results.SentLateP99]; v != nil && orZero(candidate, results.Requests) >= tellsP99 && (row == nil || *v > ms) {
			row, ms = candidate, *v
		}
	}
	return row, ms
}

// notes returns the notes of all rows, each with the name of its row. If no figures are
// shown, it returns only the notes of the rows without figures.
func notes(r *results.Results) (out []string) {
	nothing := len(r.Groups()) == 0
	for _, row := range r.Rows {
		if nothing && len(row.Repeats) > 0 {
			continue
		}
		for _, note := range row.Notes {
			out = append(out, fmt.Sprintf("%s, %s: %s", row.Strategy, place(row.Key), note))
		}
	}
	return out
}
