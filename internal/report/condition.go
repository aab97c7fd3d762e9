package report

import (
	"fmt"
	"strconv"

	"gotimeout/internal/results"
)

// Condition is one under which a comparison fails.
type Condition struct {
	Strategy string // "" is each but the floor
	Column   results.Column
	Op       string // one of >, >=, <, <=, ==, !=
	Limit    float64
}

// Violation is a row of which a condition holds, or of which nobody can tell.
type Violation struct {
	Condition
	Row   *results.Row // nil where there was no row to judge
	Value *float64     // nil is not known
}

// Check returns the rows of which the condition holds. A gate must not open
// because nobody looked: a figure that is not known is a violation too, and so
// is a condition for which there is no row. The baseline alone, which times
// nothing out, is left alone where the figure is of what timed out, unless it is
// named.
func (c Condition) Check(r *results.Results) (out []Violation) {
	place, _ := results.Lookup(c.Column.Name)
	judged := 0
	for _, row := range r.Rows {
		v := row.Figures[place]
		if !c.names(row) || v == nil && c.Strategy == "" && row.Unbounded && needsTimeouts(place) {
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

// String is the condition as ParseCondition reads it.
func (c Condition) String() string {
	text := c.Column.Name + " " + c.Op + " " + exact(c.Limit)
	if c.Strategy != "" {
		text = c.Strategy + "." + text
	}
	return text
}

// String says in a sentence what is wrong.
func (v Violation) String() string {
	if v.Row == nil {
		return fmt.Sprintf("%s: there was no row to judge", v.Condition)
	}
	what, where := v.Row.Strategy+"."+v.Column.Name, place(v.Row.Key)
	if v.Value == nil {
		return fmt.Sprintf("%s is not known on %s, which can't pass %s %s", what, where, v.Op, exact(v.Limit))
	}
	return fmt.Sprintf("%s is %s on %s: %s %s", what, exact(*v.Value), where, v.Op, exact(v.Limit))
}

func exact(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }
