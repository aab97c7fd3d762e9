package handlers

import (
	"cmp"
	"fmt"
	"math"
	"strings"
	"time"

	"gotimeout/internal/prose"
	"gotimeout/internal/receipt"
)

// Differences below these may be noise of the machine.
const (
	tolerance = 50 // ms that an answer may be late under a bound that holds
	noise     = 10 // ms of waste
)

// sentence describes a complete run: how it was answered and what it left behind.
func sentence(v receipt.View, op Op) string {
	if *v.Status == receipt.Refused {
		return "was not run"
	}
	return answerClause(v) + "; " + strings.Join(leftClauses(v, op), "; ")
}

// answerClause describes how the run was answered.
func answerClause(v receipt.View) string {
	if *v.Status == receipt.Unanswered {
		return "its answer could not be written"
	}
	after := spoken(*v.Answered)
	timeout, delay := millisecondsIn(v.Timeout), millisecondsIn(v.Delay)
	late := *v.Answered - timeout
	switch {
	case v.Error != nil && v.Error.Code == "caller_gone":
		return "its caller left after " + after
	case *v.Status == receipt.Failed:
		return "failed after " + after
	case *v.Status == receipt.TimedOut && len(v.Timeouts) > 0 && v.Overshoot == nil:
		return "its " + v.Error.Code + " passed after " + after
	case *v.Status == receipt.Accepted:
		return "was put into the queue within " + after
	case late <= 0 && *v.Status == receipt.Completed:
		return "answered in time"
	case v.Unbounded:
		return "answered after " + after + ": it has no bound"
	case late > max(tolerance, timeout/4) && *v.Answered >= delay: // nothing has cut the work short
		return "answered after " + after + ": the bound did not hold"
	case late < 0.05:
		return "answered on time"
	}
	return "answered " + spoken(late) + " late"
}

// millisecondsIn reads a duration of a receipt, in milliseconds.
func millisecondsIn(text string) float64 {
	d, _ := time.ParseDuration(text) // as a Duration writes it
	return milliseconds(d)
}

// leftClauses describe the goroutines, connections and work that the run left behind.
func leftClauses(v receipt.View, op Op) (what []string) {
	if v.Goroutines > 0 && v.Straggle != nil {
		what = append(what, goroutinesClause(v)+" stayed for "+spoken(*v.Straggle)+" more")
	}
	if v.Waste != nil && *v.Waste >= noise && *v.Status != receipt.Accepted {
		what = append(what, backendClause(v, op)+" on for "+spoken(*v.Waste)+" after the answer")
	}
	if *v.Status == receipt.Accepted && v.Straggle != nil {
		return append(what, "the job ended "+spoken(*v.Straggle)+" after the answer")
	}
	if v.OutlivedDials > 0 {
		what = append(what, "a dial went on after its call")
	}
	if v.Orphans {
		what = append(what, "programs that it had started ran on, and were killed")
	}
	unseen := (op.Dials || op.Noun != "") && !v.BackendSeen && *v.Status != receipt.Completed
	switch {
	case len(what) == 0 && unseen:
		what = append(what, "nothing was left behind in this process")
	case len(what) == 0:
		what = append(what, "nothing was left behind")
	}
	if n := v.Connections.Closed; n > 0 {
		what = append(what, prose.Count(n, "connection")+" closed")
	}
	if unseen {
		what = append(what, "when the backend stopped is unknown")
	}
	return what
}

// goroutinesClause names the goroutines of the op at the answer, and their connections.
func goroutinesClause(v receipt.View) string {
	used := v.Connections.Dialed + v.Connections.Reused
	switch {
	case v.Goroutines == 1 && used == 0:
		return "its goroutine"
	case v.Goroutines == 1:
		return "its goroutine and connection"
	case used == 0:
		return fmt.Sprintf("its %d goroutines", v.Goroutines)
	}
	return fmt.Sprintf("its %d goroutines and their connections", v.Goroutines)
}

// backendClause names the backend and its work, as in "the database computed".
func backendClause(v receipt.View, op Op) string {
	noun := cmp.Or(op.Noun, "a backend")
	if v.Target != "" {
		noun = "the server"
	}
	return noun + " " + cmp.Or(op.Verbs[v.Work], "worked")
}

// spoken formats milliseconds with a unit that suits their size.
func spoken(ms float64) string {
	switch {
	case ms < 9.95:
		return fmt.Sprintf("%.1f ms", ms)
	case ms < 999.5:
		return fmt.Sprintf("%.0f ms", ms)
	case ms < 120_000:
		return fmt.Sprintf("%.1f s", ms/1000)
	}
	return (time.Duration(math.Round(ms/1000)) * time.Second).String()
}
