package handlers

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"gotimeout/internal/receipt"
	"gotimeout/strategies"
)

// lateness is how long a comparison waits for what still goes on when its last
// run was ended.
const lateness = 5 * time.Second

// compare runs every strategy at once on the same op and answers when nothing
// of them goes on any more.
func (l *Lab) compare(w http.ResponseWriter, r *http.Request) {
	p, err := l.parse(r.URL.RawQuery)
	if err == nil {
		err = p.phases.refused() // not every strategy has the client bound itself
	}
	if err != nil {
		badParameter(w, r, err)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), l.Longest()+lateness)
	defer cancel()
	rows := l.runAll(ctx, p)
	if !slices.ContainsFunc(rows, wasRun) {
		unavailable(w, r, rows[0].Error)
		return
	}
	if strings.Contains(r.Header.Get("Accept"), "application/json") {
		writeJSON(w, r, http.StatusOK, map[string]any{"rows": rows})
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	writeTable(w, p, l.between(p), rows)
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

// runAll returns a row a strategy: its receipt, or one that says why there is none.
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

func wasRun(row receipt.View) bool { return *row.Status != receipt.Refused }

func refusedRow(s strategies.Strategy, err error) receipt.View {
	status := receipt.Refused
	return receipt.View{Name: s.Name, Family: string(s.Family), Unbounded: s.Unbounded, Status: &status, Error: refusal(err)}
}
