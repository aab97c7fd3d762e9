package load

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"gotimeout/internal/results"
)

// Threshold is a condition on a figure that must not be so, as --fail-if has it.
type Threshold struct {
	Strategy string // "" is each but the floor
	Column   string // of package results
	Op       string // one of >, >=, <, <=, ==, !=
	Limit    float64
}

// k6Columns are the columns that k6 sees: a metric of the script, and what of it.
var k6Columns = []struct{ name, metric, value string }{
	{"answered_p50_ms", "answered_ms", "p(50)"},
	{"answered_p99_ms", "answered_ms", "p(99)"},
	{"answered_max_ms", "answered_ms", "max"},
	{"overshoot_p50_ms", "overshoot_ms", "p(50)"},
	{"overshoot_p99_ms", "overshoot_ms", "p(99)"},
	{"overshoot_max_ms", "overshoot_ms", "max"},
	{"completed", "completed", "count"},
	{"timed_out", "timed_out", "count"},
	{"failed", "failed", "count"},
	{"refused", "refused", "count"},
}

// otherwise is what holds where a comparison doesn't.
var otherwise = map[string]string{">": "<=", ">=": "<", "<": ">=", "<=": ">", "==": "!=", "!=": "=="}

// k6 is the threshold in k6's language, which says what must be so.
func (t Threshold) k6() (metric, expression string, err error) {
	var seen []string
	for _, column := range k6Columns {
		if column.name == t.Column {
			return column.metric, column.value + otherwise[t.Op] + strconv.FormatFloat(t.Limit, 'f', -1, 64), nil
		}
		seen = append(seen, column.name)
	}
	return "", "", fmt.Errorf("k6 doesn't see %s: write a condition on %s, or leave it to gotimeout compare", t.Column, strings.Join(seen, ", "))
}

// names tells whether the threshold is about a cell. Unless it is named, the
// baseline, which times nothing out, has no overshoot.
func (t Threshold) names(c k6Cell, metric string) bool {
	if t.Strategy == "" {
		return c.Strategy != results.FloorName && !(c.Strategy == "baseline" && metric == "overshoot_ms")
	}
	return t.Strategy == c.Strategy
}

// k6Limits are thresholds for k6.
type k6Limits []k6Limit

// k6Limit is what must be so of a metric.
type k6Limit struct {
	Metric      string
	Expressions []string
}

// limits returns those of each cell, as each row of a comparison is judged by
// itself. For k6 what never was is 0; so that nothing passes because nobody
// looked, an overshoot has to be one of something.
func limits(thresholds []Threshold, cells []k6Cell) (all k6Limits, err error) {
	for _, t := range thresholds {
		metric, expression, err := t.k6()
		if err != nil {
			return nil, err
		}
		found := false
		for _, c := range cells {
			if !t.names(c, metric) {
				continue
			}
			found = true
			all.add(c, metric, expression)
			switch {
			case metric == "overshoot_ms" && c.Strategy == results.FloorName:
				all.add(c, "completed", "count>0")
			case metric == "overshoot_ms":
				all.add(c, "timed_out", "count>0")
			}
		}
		if !found {
			return nil, fmt.Errorf("the k6 script has no row for %s: change the condition, or the matrix", strings.TrimPrefix(t.Strategy+"."+t.Column, "."))
		}
	}
	return all, nil
}

func (l *k6Limits) add(c k6Cell, metric, expression string) {
	metric = fmt.Sprintf("%s{strategy:%s,op:%s,ctx:%s}", metric, c.Strategy, c.Op, c.Ctx)
	i := slices.IndexFunc(*l, func(limit k6Limit) bool { return limit.Metric == metric })
	if i < 0 {
		i = len(*l)
		*l = append(*l, k6Limit{Metric: metric})
	}
	if of := &(*l)[i]; !slices.Contains(of.Expressions, expression) {
		of.Expressions = append(of.Expressions, expression)
	}
}
