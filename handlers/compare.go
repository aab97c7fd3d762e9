package handlers

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"

	"gotimeout/internal/badnet"
	"gotimeout/internal/receipt"
	"gotimeout/strategies"
)

// compare runs every strategy at once on the same op and answers when all of their
// receipts are complete.
func (l *Lab) compare(w http.ResponseWriter, r *http.Request) {
	p, err := l.parse(strategies.Strategy{}, r.URL.RawQuery)
	if err == nil {
		err = l.refusePhases(p.phases) // a strategy that bounds no client can't have them
	}
	if err != nil {
		badParameter(w, r, err)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), l.Bounds().Answer)
	defer cancel()
	rows := l.runAll(ctx, p)
	if !slices.ContainsFunc(rows, hasRun) {
		unavailable(w, r, rows[0].Error)
		return
	}
	if strings.Contains(r.Header.Get("Accept"), "application/json") {
		writeJSON(w, r, http.StatusOK, map[string]any{"rows": rows})
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	writeTable(w, p, l.networkOf(p), rows)
}

// suitable returns the strategies that make sense for the op.
func (l *Lab) suitable(p params) (suitable []strategies.Strategy) {
	for _, s := range l.Strategies {
		if s.Suits(p.op.Name) {
			suitable = append(suitable, s)
		}
	}
	return suitable
}

// runAll returns a row for each strategy: its receipt, or the reason why it was not run.
func (l *Lab) runAll(ctx context.Context, p params) []receipt.View {
	suitable := l.suitable(p)
	rows := make([]receipt.View, len(suitable))
	var all sync.WaitGroup
	for i, s := range suitable {
		all.Go(func() {
			rc, err := l.execute(ctx, s, p)
			if err != nil {
				rows[i] = refusedRow(s, err)
				return
			}
			rc.Wait(ctx)
			rows[i] = l.resolved(rc)
		})
	}
	all.Wait()
	return rows
}

func hasRun(row receipt.View) bool { return *row.Status != receipt.Refused }

func refusedRow(s strategies.Strategy, err error) receipt.View {
	status := receipt.Refused
	return receipt.View{Name: s.Name, Family: string(s.Family), Unbounded: s.Unbounded, Status: &status, Error: refusal(err)}
}

// writeTable writes a comparison for a terminal of 80 columns.
func writeTable(w io.Writer, p params, network *badnet.Path, rows []receipt.View) {
	fmt.Fprintf(w, "op=%s", p.op.Name)
	if p.op.Own == nil {
		fmt.Fprintf(w, " delay=%s", p.delay)
	}
	fmt.Fprintf(w, " timeout=%s ctx=%s", p.timeout, p.ctx)
	for _, c := range p.chosen() {
		fmt.Fprintf(w, " %s=%s", c[0], c[1])
	}
	fmt.Fprint(w, "\n")
	if p.op.Own != nil {
		fmt.Fprint(w, wrapped(p.op.About()))
	}
	if text := pathText(network); text != "" {
		fmt.Fprint(w, wrapped(text))
	}
	fmt.Fprint(w, "\n")

	const line = "%-17s  %-7s  %-9s %8s %9s %7s %8s %6s\n"
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
		"\nop at the answer; family: where the strategy puts its bound.\n")
	for _, row := range rows {
		if row.Error != nil && *row.Status != receipt.TimedOut {
			fmt.Fprint(w, "\n", wrapped(row.Name+": "+row.Error.Message))
		}
	}
}

// shortFamily returns the noun of a family: "call" of "around the call".
func shortFamily(family string) string { return family[strings.LastIndex(family, " ")+1:] }

func figure(ms *float64, otherwise string) string {
	if ms == nil {
		return otherwise
	}
	return strconv.FormatFloat(*ms, 'f', 1, 64)
}
