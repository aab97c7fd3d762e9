package load_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"gotimeout/internal/load"
	"gotimeout/internal/receipt"
	"gotimeout/internal/results"
	"gotimeout/internal/wire"
)

// atlasLab answers the requests of an atlas at once.
type atlasLab struct {
	mu   sync.Mutex
	runs map[string]int // by path and query
	seen func(runs int) // called for each run, unless nil
}

func (l *atlasLab) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var answer any
	switch {
	case r.URL.Path == "/lab":
		answer = wire.Lab{
			Strategies: []string{"baseline", "context-cancel"}, Unbounded: []string{"baseline"}, Families: map[string]string{"context-cancel": "around the call"},
			Ops: []wire.Op{
				{Name: "db", Backend: "the database", Calls: 1, Choices: []wire.Choice{{Name: "work", Values: []string{"sleep", "cpu"}}}},
				{Name: "cpu", Calls: 1}, {Name: "all", Calls: 2}, {Name: "stiff", Calls: 1, NoDelay: "it can't be slow"},
			},
			Network: true,
			Caps:    wire.Caps{MaxDelay: "1m", MaxTimeout: "1m", MaxInFlight: 1000, Receipts: 10_000},
		}
	case r.URL.Path == "/backends":
		answer = map[string]any{"backends": []map[string]any{{"name": "db", "embedded": true}}}
	case r.URL.Path == "/network":
		answer = map[string]any{"profile": "as asked", "driver": "tun"}
	case strings.HasPrefix(r.URL.Path, "/receipts/"):
		status, ms := receipt.TimedOut, 500.0
		answer = receipt.View{ID: strings.TrimPrefix(r.URL.Path, "/receipts/"), Complete: true, Status: &status, Answered: &ms}
	case r.URL.Query().Get("work") == "cpu" && r.URL.Query().Get("ctx") == "deaf":
		w.WriteHeader(http.StatusBadRequest)
		answer = map[string]any{"error": map[string]any{"message": "it makes no sense"}}
	default:
		l.mu.Lock()
		l.runs[r.URL.RequestURI()]++
		n := 0
		for _, runs := range l.runs {
			n += runs
		}
		l.mu.Unlock()
		if l.seen != nil {
			l.seen(n)
		}
		answer = map[string]any{"completed": true, "receipt": fmt.Sprint("/receipts/x-", n)}
	}
	_ = json.NewEncoder(w).Encode(answer)
}

func (l *atlasLab) survey(t *testing.T, ctx context.Context, p load.Plan) (*results.Atlas, error) {
	t.Helper()
	l.runs = map[string]int{}
	server := httptest.NewServer(l)
	t.Cleanup(server.Close)
	lab, err := load.OpenLab(server.URL, "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(lab.Close)
	return (&load.Comparison{Lab: lab, Own: true, Plan: p}).Atlas(ctx)
}

// An atlas has each strategy with each client, aware and deaf, and the clients that
// compute on the first network only.
func TestAtlas(t *testing.T) {
	t.Parallel()
	lab := new(atlasLab)
	a, err := lab.survey(t, t.Context(), load.Plan{Networks: []string{"none", "3g"}, Repeat: 2})
	if err != nil {
		t.Fatal(err)
	}
	var clients, leftOut []string
	for _, c := range a.Clients {
		clients = append(clients, fmt.Sprintf("%s %v %v", c.Name(), c.Embedded, c.Delay))
	}
	for _, of := range a.LeftOut {
		leftOut = append(leftOut, of.Op)
	}
	if want := []string{"db true 1500", "db, work=cpu true 300", "cpu false 300"}; !slices.Equal(clients, want) || !slices.Equal(leftOut, []string{"all", "stiff"}) {
		t.Errorf("clients %q, left out %q", clients, leftOut)
	}
	if len(a.Cells) != 2*2*(2+1+1) || len(a.Networks) != 2 || a.Interrupted {
		t.Errorf("%d cells, networks %+v, interrupted %v", len(a.Cells), a.Networks, a.Interrupted)
	}
	for _, cell := range a.Cells {
		refused := cell.With != "" && cell.Ctx == "deaf"
		if n := len(cell.Runs); n != 2 && !refused || refused && (n != 0 || cell.Why != "it makes no sense") {
			t.Errorf("%s: %d runs, %q", cell.ID(), n, cell.Why)
		}
		for _, run := range cell.Runs {
			if run.Receipt == nil || !run.Receipt.Complete || !run.Clean {
				t.Errorf("%s: %+v", cell.ID(), run)
			}
		}
	}
	if n := lab.runs["/context-cancel?op=db&work=cpu&ctx=aware&delay=300ms&timeout=100ms"]; n != 2 {
		t.Errorf("%d runs of a cell: %v", n, lab.runs)
	}
}

// An interrupt ends an atlas with the cells until then, and without an error.
func TestAtlasInterrupted(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	a, err := (&atlasLab{seen: func(runs int) {
		if runs == 12 {
			cancel()
		}
	}}).survey(t, ctx, load.Plan{Networks: []string{"none", "3g"}, Repeat: 50})
	if err != nil || !a.Interrupted || len(a.Cells) == 0 || len(a.Networks) != 1 || a.Networks[0].After != nil {
		t.Errorf("%+v, %v", a, err)
	}
}

func TestAtlasRefuses(t *testing.T) {
	t.Parallel()
	for want, p := range map[string]load.Plan{
		`there is no op "dbs", did you mean db?`: {Ops: []string{"dbs"}, Repeat: 1},
		"op stiff can't be slow on this lab":     {Ops: []string{"stiff"}, Repeat: 1},
		"the network none is given twice":        {Networks: []string{"none", "none"}, Repeat: 1},
	} {
		if _, err := new(atlasLab).survey(t, t.Context(), p); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}
