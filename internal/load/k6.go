package load

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"text/template"
	"time"

	"gotimeout/internal/results"
)

//go:embed k6.js.tmpl
var k6Text string

// K6 writes the plan as a script for k6, which makes the same load from one or several
// machines, on the lab at url unless k6's variable URL names another. A threshold that is true
// for a row makes k6 exit with 99. An error is about a plan that k6 can't run, or a column that
// k6 doesn't see.
func (p Plan) K6(w io.Writer, url string, thresholds []Threshold) error {
	lab, err := OpenLab(url, "")
	if err != nil {
		return &PlanError{err}
	}
	interval := p.Interval()
	script := k6Script{
		URL: lab.URL, Cells: p.k6Cells(), Floor: results.FloorName,
		Rate: p.Rate, WarmUp: int(p.warmUp() / interval), Requests: int(p.Duration / interval),
	}
	if err := p.checkK6(script); err != nil {
		return &PlanError{err}
	}
	spare := time.Second
	if len(p.Networks) > 0 {
		script.Network, spare = p.Networks[0], 5*time.Second // lost packets are sent again
	}
	longest := max(slices.Max(p.Delays), slices.Max(p.Timeouts)) + spare
	script.Longest = ms(longest)
	script.VUs = int(math.Ceil(p.Rate * longest.Seconds()))
	if script.Limits, err = limits(thresholds, script.Cells); err != nil {
		return &PlanError{err}
	}
	text := template.Must(template.New("k6").Funcs(template.FuncMap{"json": inScript}).Parse(k6Text))
	return text.Execute(w, script)
}

// k6Script is the data for the template of the script.
type k6Script struct {
	URL, Network, Floor   string
	Cells                 []k6Cell
	Rate, Longest         float64
	WarmUp, Requests, VUs int
	Limits                []k6Limit
}

type k6Cell struct {
	Strategy string    `json:"strategy"`
	Op       string    `json:"op"`
	Ctx      string    `json:"ctx"`
	Timeout  float64   `json:"timeout_ms"`
	Delays   []float64 `json:"delays_ms"`

	Unbounded bool `json:"unbounded,omitempty"` // the strategy has no overshoot
}

// k6Cells returns the cells of the plan. On a network there are no floors, because the
// network can't be good for them and bad for the other cells.
func (p Plan) k6Cells() (cells []k6Cell) {
	for _, c := range p.cells() {
		if !c.Floor || len(p.Networks) == 0 {
			cells = append(cells, k6Cell{c.Strategy, c.Op, c.Ctx, c.Timeout, c.Delays, !c.Floor && c.Strategy == results.SampleName()})
		}
	}
	return cells
}

// checkK6 returns an error if k6 can't run the plan.
func (p Plan) checkK6(script k6Script) error {
	// k6 has a least duration for a scenario, and the script rounds up to a millisecond.
	load := time.Duration(float64(time.Second) * float64(script.WarmUp+script.Requests) / p.Rate)
	switch {
	case len(p.Networks) > 1:
		return errors.New("a k6 script sets one network, before it begins: write one script for each --network")
	case len(p.Timeouts) > 1:
		return errors.New("a k6 script has one timeout: write one script for each")
	case p.Repeat > 1:
		return errors.New("k6 makes one result of all that a script does: leave --repeat out, and run the script several times")
	case load <= time.Second-time.Millisecond:
		return fmt.Errorf("k6 runs a cell for 1s at least, and this one would take %s with its warm-up: raise --duration", load)
	}
	return p.checkOnly()
}

// inScript writes a value as JSON that people can read.
func inScript(value any) (string, error) {
	var text bytes.Buffer
	e := json.NewEncoder(&text)
	e.SetEscapeHTML(false) // a < stays a <
	err := e.Encode(value)
	return strings.TrimSpace(text.String()), err
}

// Threshold is a condition on a figure that must not be true, as in --fail-if.
type Threshold struct {
	Strategy string // "" is each strategy, without the floor
	Column   string // a column of package results
	Op       string // one of >, >=, <, <=, ==, !=
	Limit    float64
}

// k6Columns are the columns that k6 sees: each with its metric in the script, and the value
// of the metric.
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

// otherwise maps each comparison to its negation.
var otherwise = map[string]string{">": "<=", ">=": "<", "<": ">=", "<=": ">", "==": "!=", "!=": "=="}

// k6 returns the threshold in k6's language, where a threshold is a condition that must be true.
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

// names reports whether the threshold is about a cell. An unbounded strategy has no
// overshoot unless the threshold names the strategy.
func (t Threshold) names(c k6Cell, metric string) bool {
	if t.Strategy == "" {
		return c.Strategy != results.FloorName && !(c.Unbounded && metric == "overshoot_ms")
	}
	return t.Strategy == c.Strategy
}

// k6Limits are thresholds for k6.
type k6Limits []k6Limit

// k6Limit is a condition on a metric that must be true.
type k6Limit struct {
	Metric      string
	Expressions []string
}

// limits returns the limits of each cell, because each row of a comparison is judged by
// itself. For k6 a metric without a value is 0. So that such a metric doesn't pass, a
// limit of an overshoot also demands that there was one.
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
			if metric == "overshoot_ms" {
				all.add(c, "overshot", "count>0")
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
