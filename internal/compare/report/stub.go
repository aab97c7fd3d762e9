package report

import (
	"fmt"
	"io"

	"gotimeout/internal/compare/results"
)

func HTML(io.Writer, *results.Results) error { return nil }
func Table(w io.Writer, r *results.Results) error {
	for _, row := range r.Rows {
		fmt.Fprintf(w, "%v\n", row.Key)
		for i, c := range results.Columns() {
			if f := row.Figures[i]; f != nil {
				fmt.Fprintf(w, "  %s=%.2f", c.Name, *f)
			} else {
				fmt.Fprintf(w, "  %s=?", c.Name)
			}
		}
		fmt.Fprintln(w, row.Notes)
	}
	return nil
}

type Condition struct{}

func (Condition) Check(*results.Results) []string              { return nil }
func ParseCondition(string, []string) (c Condition, err error) { return }
