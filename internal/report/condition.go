package report

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"gotimeout/internal/prose"
	"gotimeout/internal/results"
)

// Condition is a condition under which a comparison fails.
type Condition struct {
	Strategy string // "" is each strategy, without the floor
	Column   results.Column
	Op       string // one of >, >=, <, <=, ==, !=
	Limit    float64
}

// Violation is a row for which a condition is true or unknown.
type Violation struct {
	Condition
	Row   *results.Row // nil if there was no row to judge
	Value *float64     // nil is not known
}

// Check returns the rows for which the condition is true. A pipeline must not pass because a
// figure is missing, so an unknown figure is a violation too, and so is a condition without
// a row. An unbounded strategy is not judged by a figure about timeouts unless the condition
// names the strategy.
func (c Condition) Check(r *results.Results) (out []Violation) {
	place, _ := results.Lookup(c.Column.Name)
	judged := 0
	for _, row := range r.Rows {
		v := row.Figures[place]
		if !c.names(row) || v == nil && c.Strategy == "" && row.Unbounded && (isOvershoot(place) || place == results.RanOnPercent) {
			continue
		}
		judged++
		if v == nil || c.holds(*v) {
			out = append(out, Violation{c, row, v})
		}
	}
	if judged == 0 {
		return []Violation{{Condition: c}}
	}
	return out
}

func (c Condition) names(row *results.Row) bool {
	if c.Strategy == "" {
		return !row.Floor
	}
	return c.Strategy == row.Strategy
}

func (c Condition) holds(v float64) bool {
	switch c.Op {
	case ">":
		return v > c.Limit
	case ">=":
		return v >= c.Limit
	case "<":
		return v < c.Limit
	case "<=":
		return v <= c.Limit
	case "==":
		return v == c.Limit
	case "!=":
		return v != c.Limit
	}
	panic("report: no comparison " + c.Op)
}

// String returns the condition as ParseCondition reads it.
func (c Condition) String() string {
	text := c.Column.Name + " " + c.Op + " " + exact(c.Limit)
	if c.Strategy != "" {
		text = c.Strategy + "." + text
	}
	return text
}

const noRow = "there was no row to judge"

// String returns a sentence on the violation.
func (v Violation) String() string {
	if v.Row == nil {
		return fmt.Sprintf("%s: %s", v.Condition, noRow)
	}
	what, where := v.Row.Strategy+"."+v.Column.Name, place(v.Row.Key)
	if v.Value == nil {
		return fmt.Sprintf("%s is not known on %s, which can't pass %s %s", what, where, v.Op, exact(v.Limit))
	}
	return fmt.Sprintf("%s is %s on %s: %s %s", what, exact(*v.Value), where, v.Op, exact(v.Limit))
}

// checked says of each condition which rows fail it.
func (a *account) checked(failIf []Condition) (all []sentence) {
	for _, c := range failIf {
		found := c.Check(a.results)
		if len(found) == 0 {
			all = append(all, sentence{Parts: []part{{Text: fmt.Sprintf("--fail-if '%s': no row fails.", c)}}})
			continue
		}
		s, opening := sentence{Serious: true}, fmt.Sprintf("--fail-if '%s' fails: ", c)
		for _, v := range found {
			s.Parts = append(append(s.Parts, part{Text: opening}), a.violation(v)...)
			opening = ", "
		}
		all = append(all, s)
	}
	return all
}

func (a *account) violation(v Violation) []part {
	switch {
	case v.Row == nil:
		return []part{{Text: noRow}}
	case v.Value == nil:
		return []part{a.link(v.Row), {Text: " (not known)"}}
	}
	return []part{a.link(v.Row), {Text: " (" + exact(*v.Value) + ")"}}
}

func exact(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }

// conditionForm is [strategy.]column OP number [unit].
var conditionForm = regexp.MustCompile(`^(?:([^\s.<>=!]+)\.)?([^\s.<>=!]+)\s*([<>=!]+)\s*([-+]?[0-9.]+)\s*(\S*)$`)

// ParseCondition reads a condition such as context-cancel.overshoot_p99_ms > 50. The floor
// counts as a strategy. The error says what is wrong, what was probably meant and what is
// allowed.
func ParseCondition(text string, strategies []string) (c Condition, err error) {
	parts := conditionForm.FindStringSubmatch(strings.TrimSpace(text))
	if parts == nil {
		return c, fmt.Errorf("%q is no condition: write [strategy.]column OP number, as context-cancel.overshoot_p99_ms > 50", text)
	}
	var columns []string
	for _, column := range results.Columns() {
		columns = append(columns, column.Name)
	}
	strategies = append(slices.Clip(strategies), results.FloorName)
	if err := oneOf("strategy", parts[1], strategies); err != nil && parts[1] != "" {
		return c, err
	}
	if err := oneOf("column", parts[2], columns); err != nil {
		return c, err
	}
	if err := oneOf("comparison", parts[3], []string{">", ">=", "<", "<=", "==", "!="}); err != nil {
		return c, err
	}
	at, _ := results.Lookup(parts[2])
	if parts[1] == results.FloorName && notOfFloor(at) {
		return c, fmt.Errorf("the floor has no %s: its calls end in time, name a strategy or none", parts[2])
	}
	c = Condition{Strategy: parts[1], Column: results.Columns()[at], Op: parts[3]}
	if c.Limit, err = strconv.ParseFloat(parts[4], 64); err != nil {
		return c, fmt.Errorf("%q is no number", parts[4])
	}
	return c, checkUnit(c.Column, parts[5])
}

// checkUnit refuses a unit that is not the column's. A condition without a unit is valid.
func checkUnit(of results.Column, unit string) error {
	written := strings.NewReplacer("µ", "u", "μ", "u") // the micro sign, and the Greek letter
	own := written.Replace(of.Unit)
	short, _, _ := strings.Cut(own, "/")
	switch written.Replace(unit) {
	case "", own, short:
		return nil
	}
	if of.Unit == "" {
		return fmt.Errorf("%s is a count: leave out the unit %q", of.Name, unit)
	}
	return fmt.Errorf("%s is in %s, not in %q: write the number in that, with the unit or without", of.Name, of.Unit, unit)
}

// oneOf refuses a name that is not allowed, and suggests the one that was probably meant.
func oneOf(what, got string, allowed []string) error {
	if slices.Contains(allowed, got) {
		return nil
	}
	return errors.New(prose.Unknown(what, got, allowed))
}
