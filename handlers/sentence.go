package handlers

import (
	"cmp"
	"fmt"
	"math"
	"strings"
	"time"

	"gotimeout/internal/receipt"
)

// Less than this may be the machine's own doing, and no strategy's.
const (
	tolerance = 50 // ms, of an answer: more is no bound
	noise     = 10 // ms, of an end
)

// left says of a complete run, in a sentence, how its answer came and what was
// left behind.
func left(v receipt.View, op Op) string {
	if *v.Status == receipt.Refused {
		return "was not run: nothing was left behind"
	}
	return answer(v) + "; " + strings.Join(behind(v, op), "; ")
}

// answer says how the answer came.
func answer(v receipt.View) string {
	if *v.Status == receipt.Unanswered {
		return "its answer could not be written"
	}
	after := spell(*v.Answered)
	timeout, delay := parsed(v.Timeout), parsed(v.Delay)
	late := *v.Answered - timeout
	switch {
	case v.Error != nil && v.Error.Code == "caller_gone":
		return "its caller left after " + after
	case *v.Status == receipt.Failed:
		return "failed after " + after
	case *v.Status == receipt.TimedOut && len(v.Timeouts) > 0 && v.Overshoot == nil:
		return "answered after " + after + " by its " + v.Error.Code
	case late <= 0 && *v.Status == receipt.Completed:
		return "answered in time"
	case v.Unbounded:
		return "waited " + after + ": it has no bound"
	case late > max(tolerance, timeout/4) && *v.Answered >= delay: // nothing has cut the work short
		return "waited " + after + ": the bound did not bind"
	case late < 0.05:
		return "answered on time"
	}
	return "answered " + spell(late) + " late"
}

// parsed is a duration of a receipt, in milliseconds.
func parsed(text string) float64 {
	d, _ := time.ParseDuration(text) // as a Duration writes it
	return millis(d)
}

// behind says what was left behind.
func behind(v receipt.View, op Op) (what []string) {
	if v.Goroutines > 0 && v.Straggle != nil {
		what = append(what, goroutines(v)+" stayed for "+spell(*v.Straggle)+" more")
	}
	if v.Waste != nil && *v.Waste >= noise {
		what = append(what, work(v, op)+" on for "+spell(*v.Waste)+", for nobody")
	}
	if v.OutlivedDials > 0 {
		what = append(what, "a dial outlived it")
	}
	if len(what) == 0 {
		what = append(what, "nothing was left behind")
	}
	if n := v.Connections.Closed; n > 0 {
		what = append(what, "it cost "+count(n, "connection"))
	}
	if op.Dials && !op.Seen && *v.Status != receipt.Completed {
		what = append(what, "nobody sees when the backend stopped")
	}
	return what
}

// goroutines are those of the op at the answer, with their connections.
func goroutines(v receipt.View) string {
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

// work says that the backend worked.
func work(v receipt.View, op Op) string {
	noun := cmp.Or(op.Noun, "a backend")
	if v.Target != "" {
		noun = "the server"
	}
	return noun + " " + cmp.Or(op.Verbs[v.Work], "worked")
}

// spell writes milliseconds as people say them.
func spell(ms float64) string {
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

// count is n things.
func count(n int, thing string) string {
	if n == 1 {
		return "a " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}
