package report

import (
	"fmt"

	"gotimeout/internal/results"
)

// nothingToShow is all there is to say of a comparison that ended in its floors.
const nothingToShow = "No row of a strategy has ended, so there is nothing to show."

// remarks are the sentences on a comparison as a whole: what to know before its
// figures are believed.
func remarks(r *results.Results) (out []string) {
	switch {
	case r.Interrupted:
		out = append(out, "The comparison was interrupted: these are the figures of what there was until then.")
	case !r.Complete:
		out = append(out, "The comparison is incomplete: its records end before it did.")
	}
	if late, ms := latest(r); ms > bottleneck {
		out = append(out, fmt.Sprintf("The load generator was the bottleneck: of %s on %s, 1%% of the requests were sent more than %s ms late. "+
			"Take a lower --rate, or another machine for the lab (--url).", late.Strategy, place(late.Key), amount(ms, results.Columns()[results.SentLateP99])))
	}
	return out
}

// tellsP99 is how many requests a p99 takes that is not just their longest.
const tellsP99 = 100

// bottleneck is by how many milliseconds requests may be sent late (p99) before
// the figures are those of the load generator.
const bottleneck = 5

// latest is the row whose requests were sent the latest, of those with enough of
// them, and how late.
func latest(r *results.Results) (row *results.Row, ms float64) {
	for _, candidate := range r.Rows {
		if v := candidate.Figures[results.SentLateP99]; v != nil && orZero(candidate, results.Requests) >= tellsP99 && (row == nil || *v > ms) {
			row, ms = candidate, *v
		}
	}
	return row, ms
}

// notes are those of all rows, with where they belong.
func notes(r *results.Results) (out []string) {
	for _, row := range r.Rows {
		for _, note := range row.Notes {
			out = append(out, fmt.Sprintf("%s, %s: %s", row.Strategy, place(row.Key), note))
		}
	}
	return out
}
