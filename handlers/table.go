package handlers

import (
	"fmt"
	"io"
	"strconv"
	"strings"

	"gotimeout/internal/badnet"
	"gotimeout/internal/receipt"
)

// writeTable writes a comparison for a terminal of 80 columns.
func writeTable(w io.Writer, p params, network *badnet.Path, rows []receipt.View) {
	fmt.Fprintf(w, "op=%s delay=%s timeout=%s ctx=%s", p.op.Name, p.delay, p.timeout, p.ctx)
	if p.work != "" {
		fmt.Fprintf(w, " work=%s", p.work)
	}
	if p.backend != "" {
		fmt.Fprintf(w, " backend=%s", p.backend)
	}
	if p.target != "" {
		fmt.Fprintf(w, " target=%s", p.target)
	}
	fmt.Fprint(w, "\n")
	if text := described(network); text != "" {
		fmt.Fprint(w, wrapped(text))
	}
	fmt.Fprint(w, "\n")

	const line = "%-17s  %-6s  %-9s %8s %9s %7s %8s %6s\n"
	fmt.Fprintf(w, line, "times in ms", "", "", "", "", "", "backend", "left")
	fmt.Fprintf(w, line, "strategy", "family", "status", "answered", "overshoot", "ended", "ended", "behind")
	for _, row := range rows {
		left, unseen := strconv.Itoa(row.Goroutines), "?"
		if *row.Status == receipt.Refused {
			left, unseen = "-", "-"
		}
		fmt.Fprintf(w, line, row.Name, shortFamily(row.Family), *row.Status,
			figure(row.Answered, "-"), figure(row.Overshoot, "-"), figure(row.Ended, "-"), figure(row.BackendEnded, unseen), left)
	}
	fmt.Fprint(w, "\nanswered: the caller had its answer; ended: the op returned; backend ended: it",
		"\nstopped working on it (? where nobody can see); left behind: goroutines of the",
		"\nop at the answer; family: around the call, or inside the client.\n")
	for _, row := range rows {
		if row.Error != nil && *row.Status != receipt.TimedOut {
			fmt.Fprint(w, "\n", wrapped(row.Name+": "+row.Error.Message))
		}
	}
}

// shortFamily is the noun of a family: "call" of "around the call".
func shortFamily(family string) string { return family[strings.LastIndex(family, " ")+1:] }

func figure(ms *float64, otherwise string) string {
	if ms == nil {
		return otherwise
	}
	return strconv.FormatFloat(*ms, 'f', 1, 64)
}
