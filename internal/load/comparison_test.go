package load_test

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"gotimeout/internal/load"
	"gotimeout/internal/receipt"
	"gotimeout/internal/results"
	"gotimeout/internal/wire"
)

// fakeLab answers the requests of a comparison, and completes every run at once.
type fakeLab struct {
	mu    sync.Mutex
	now   wire.Now
	runs  int
	job   map[int]string                   // of a run, where it has one: /offload has a worker make a second run
	first string                           // the first run
	seen  func(run int)                    // called for each run, unless nil
	other func(w http.ResponseWriter) bool // answers instead where it returns true, unless nil
}

func (l *fakeLab) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.other != nil && l.other(w) {
		return
	}
	answer := any(map[string]any{})
	switch r.URL.Path {
	case "/lab":
		l.now.LastReceipt = fmt.Sprint("x-", l.runs)
		answer = wire.Lab{
			Strategies: []string{"baseline", "context-cancel", "offload"}, Ops: []wire.Op{{Name: "http"}},
			Families: map[string]string{"offload": "out of the request"},
			Caps:     wire.Caps{MaxDelay: "1m", MaxTimeout: "1m", MaxInFlight: 1000, Receipts: 10_000}, Now: l.now,
		}
	case "/receipts":
		var first int
		_, _ = fmt.Sscanf(r.URL.Query().Get("after"), "x-%d", &first)
		all := []map[string]any{}
		for n := first + 1; n <= l.runs; n++ {
			all = append(all, map[string]any{
				"id": fmt.Sprint("x-", n), "job": l.job[n], "complete": true, "status": "completed", "delay": "0s",
				"started": time.Now(), "answered_ms": 1.0, "ended_ms": 1.0,
			})
		}
		answer = map[string]any{"receipts": all}
	case "/sockets", "/network":
	default:
		l.runs++
		if l.seen != nil {
			l.seen(l.runs)
		}
		id := fmt.Sprint("x-", l.runs)
		if r.URL.Path == "/offload" {
			l.runs++
			l.job[l.runs] = id
		}
		l.first = cmp.Or(l.first, r.URL.String())
		answer = map[string]any{"completed": true, "status": "completed", "receipt": "/receipts/" + id}
	}
	_ = json.NewEncoder(w).Encode(answer)
}

// compared returns the results of a short comparison on the lab.
func compared(t *testing.T, l *fakeLab, strategies ...string) (*results.Results, error) {
	t.Helper()
	collector := results.NewCollector()
	c := load.Comparison{Lab: labOf(t, l.ServeHTTP), Record: collector.Add, Plan: plan(func(p *load.Plan) {
		p.Delays, p.Duration = []time.Duration{0}, 200*time.Millisecond
		if len(strategies) > 0 {
			p.Strategies = strategies
		}
	})}
	err := c.Run(t.Context())
	return collector.Results(), err
}

func TestCompares(t *testing.T) {
	t.Parallel()
	r, err := compared(t, new(fakeLab))
	if err != nil || len(r.Rows) != 2 || !r.Complete {
		t.Fatalf("%d rows, %v", len(r.Rows), err)
	}
	for _, row := range r.Rows {
		for column, want := range map[string]float64{"requests": 20, "completed": 20, "probe_failures": 0, "open_receipts": 0} {
			if got := row.Figure(column); got == nil || *got != want {
				t.Errorf("%s: %s is %v, want %v", row.Strategy, column, got, want)
			}
		}
		if len(row.Notes) > 0 {
			t.Errorf("%s: %q", row.Strategy, row.Notes)
		}
	}
}

// The runs of a queue's worker are those of the jobs that the comparison has put, and no runs of others. The queue
// is started before the first sample, so that its server is not left behind by the strategy, and has the time that it takes.
func TestComparesQueue(t *testing.T) {
	t.Parallel()
	l := &fakeLab{job: map[int]string{}}
	r, err := compared(t, l, "offload")
	if err != nil || len(r.Rows) != 2 || !strings.HasPrefix(l.first, "/offload?") || !strings.Contains(l.first, "timeout=1m0s") {
		t.Fatalf("%d rows, %v, the first run is %s", len(r.Rows), err, l.first)
	}
	for _, row := range r.Rows {
		if n := row.Figure("requests"); n == nil || *n != 20 || len(row.Notes) > 0 {
			t.Errorf("%s: %q", row.Strategy, row.Notes)
		}
	}
}

// A comparison refuses a lab with runs of others, and notes runs of others that come later.
func TestComparesAlone(t *testing.T) {
	t.Parallel()
	if _, err := compared(t, &fakeLab{now: wire.Now{Counts: receipt.Counts{Abandoned: 3}}}); err == nil || !strings.Contains(err.Error(), "3 of which something goes on, and a comparison must be alone on the lab") {
		t.Errorf("a busy lab: %v", err)
	}
	l := new(fakeLab)
	l.seen = func(run int) {
		if run == 60 { // during the load of the floor
			l.runs += 5
		}
	}
	r, err := compared(t, l)
	if err != nil {
		t.Fatal(err)
	}
	if notes := strings.Join(r.Rows[0].Notes, "; "); !strings.Contains(notes, "somebody else made 5 runs") {
		t.Errorf("the notes are %q", notes)
	}
}

// A lab that dies ends the comparison. The cell keeps the figures until then.
func TestCompareLabDies(t *testing.T) {
	t.Parallel()
	l := new(fakeLab)
	dead := false
	l.seen = func(run int) { dead = dead || run == 60 }
	l.other = func(http.ResponseWriter) bool {
		if dead {
			panic(http.ErrAbortHandler)
		}
		return false
	}
	r, err := compared(t, l)
	if err == nil || !strings.Contains(err.Error(), "the lab doesn't answer") {
		t.Errorf("%v", err)
	}
	if r.Complete || len(r.Rows) != 1 || !strings.Contains(strings.Join(r.Rows[0].Notes, "; "), "the lab doesn't answer") {
		t.Errorf("%+v", r.Rows)
	}
}
