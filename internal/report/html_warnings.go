package report

import (
	"fmt"

	"gotimeout/internal/results"
)

// warnings say what the figures must not be taken for.
func (p *page) warnings(r *results.Results) (all []sentence) {
	text := func(s string) []part { return []part{{Text: s}} }
	if slow, ms := latest(r); ms > bottleneck {
		all = append(all, sentence{true, []part{
			{Text: "The load generator was the bottleneck: requests of "}, p.link(slow),
			{Text: fmt.Sprintf(" were sent %s after they were due (p99), and times count from then. Ask for a lower rate, or run the lab on another machine.", millis(ms))},
		}})
	}
	switch {
	case r.Interrupted:
		all = append(all, sentence{true, text("The comparison was interrupted: rows are missing, or of fewer repeats.")})
	case !r.Complete:
		all = append(all, sentence{true, text("The records end before the comparison did: rows are missing, or of fewer repeats.")})
	}
	for _, row := range r.Rows {
		for _, note := range row.Notes {
			all = append(all, sentence{false, []part{p.link(row), {Text: ": " + note + "."}}})
		}
	}
	return all
}
