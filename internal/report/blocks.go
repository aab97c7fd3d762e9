package report

import (
	"strings"

	"gotimeout/internal/results"
)

// block is a table of the columns that belong together and fit 80 columns of a
// terminal.
type block struct {
	title   string
	columns []column
}

// column is one of a block. Neighbours with the same over share it.
type column struct {
	over, head string
	places     []int // of a figure, or of two shown as one/another
}

// blocks are what is shown of a group. What is left out stands in the heading
// (requests), follows from the rest (completed), or is a matter of the load and
// not of a row (sent late).
func blocks() []block {
	return []block{
		{"answers", []column{
			{"answered ms", "p50", []int{results.AnsweredP50}},
			{"answered ms", "p99", []int{results.AnsweredP99}},
			{"answered ms", "max", []int{results.AnsweredMax}},
			{"overshoot ms", "p50", []int{results.OvershootP50}},
			{"overshoot ms", "p99", []int{results.OvershootP99}},
			{"overshoot ms", "max", []int{results.OvershootMax}},
			{"timed out", "all", []int{results.TimedOut}},
			{"timed out", "false", []int{results.FalseTimeouts}},
			{"", "late", []int{results.Late}},
			{"", "failed", []int{results.Failed}},
			{"re-", "fused", []int{results.Refused}},
		}},
		{"left behind", []column{
			{"goroutines", "+20ms", []int{results.GoroutinesAnswered}},
			{"goroutines", "left", []int{results.GoroutinesLeft}},
			{"connections", "opened/ideal", []int{results.ConnectionsOpened, results.ConnectionsIdeal}},
			{"connections", "left", []int{results.ConnectionsLeft}},
			{"connections", "RST", []int{results.RSTs}},
			{"TIME-", "WAIT", []int{results.TimeWait}},
			{"probe ms", "failed", []int{results.ProbeFailures}},
			{"probe ms", "p50", []int{results.ProbeP50}},
			{"probe ms", "p99", []int{results.ProbeP99}},
		}},
		{"costs", []column{
			{"straggle", "p99 ms", []int{results.StraggleP99}},
			{"drain", "ms", []int{results.DrainTime}},
			{"still", "open", []int{results.OpenReceipts}},
			{"waste", "s/1000", []int{results.WastePer1000}},
			{"ran", "on %", []int{results.RanOnPercent}},
			{"CPU", "µs/req", []int{results.CPUPerRequest}},
			{"allocated", "B/req", []int{results.AllocatedPerRequest}},
			{"wrong", "answers", []int{results.WrongAnswers}},
		}},
	}
}

const glossary = `answered: from when a request was due to its answer, whatever it was.
overshoot: answered less timeout, of what timed out; of the floor, less delay.
false: timed out, though the same call alone takes less than the timeout.
late: completed, but more than 5 ms after the timeout.
goroutines, connections, TIME-WAIT: more than before the load; goroutines also
  20 ms after the last answer. ideal: the most runs at once that used one.
probe: clean calls on the same pools when all was over.
straggle: work that went on here after the answer. drain: until nothing did.
waste: seconds that backends worked for nobody, per 1,000 requests that were
  seen to reach one.
ran on: of what timed out and could be seen, whose backend worked on for more
  than 5 ms.
floor: calls that end in time, without a network unless one is named: what this
  machine adds.
? nobody could see; - there is no such thing.
`

// shown is what a table has for a row in this column.
func (c column) shown(r *results.Results, row *results.Row) string {
	var texts []string
	for _, place := range c.places {
		texts = append(texts, shown(r, row, place))
	}
	if row.Figures[c.places[0]] == nil {
		return texts[0]
	}
	return strings.Join(texts, "/")
}

func shown(r *results.Results, row *results.Row, place int) string {
	v := row.Figures[place]
	switch {
	case row.Floor && notOfFloor(place), len(row.Repeats) == 0:
		return "-"
	case v != nil:
		return amount(*v, results.Columns()[place])
	case needsTimeouts(place) && nothingTimedOut(row), place == results.ConnectionsIdeal && usedNone(row):
		return "-"
	case r.Run.Probes == 0 && (place == results.ProbeFailures || place == results.ProbeP50 || place == results.ProbeP99):
		return "-"
	}
	return "?"
}

// notOfFloor tells whether a figure is of calls that exceed a timeout, which those
// of the floor never do.
func notOfFloor(place int) bool { return place == results.Late || place == results.FalseTimeouts }

// needsTimeouts tells whether a figure is of the requests that timed out alone.
func needsTimeouts(place int) bool {
	switch place {
	case results.OvershootP50, results.OvershootP99, results.OvershootMax, results.RanOnPercent:
		return true
	}
	return false
}

// usedNone is of a row without an ideal: nobody can tell it of runs that make
// several calls.
func usedNone(row *results.Row) bool {
	return row.Calls <= 1 && row.Figures[results.ConnectionsOpened] != nil
}

func nothingTimedOut(row *results.Row) bool {
	n := row.Figures[results.TimedOut]
	return n != nil && *n == 0
}
