package handlers_test

import (
	"context"
	"maps"
	"net/http"
	"runtime/debug"
	"slices"
	"testing"

	"gotimeout/handlers"
	"gotimeout/slowops"
	"gotimeout/strategies"
)

// allocations is the number of allocations of one run under each strategy, from the
// request to the answer and the complete receipt. The op does nothing. Lower a number
// where the run has become cheaper. A change that raises a number must show the ratio to
// the bare handler, from make bench, before and after.
var allocations = map[string]float64{
	"baseline":          30,
	"goroutine-abandon": 30,
	"context-cancel":    30,
	"timer-panic":       27,
	"errgroup":          37,
	"io-timeout":        30,
	"timeout-handler":   49,
	"kill-query":        37,
	"server-limit":      30,
	"subprocess-kill":   30,
	"offload":           30,
}

// The count is exact: one allocation more or less fails the test.
func TestAllocations(t *testing.T) {
	if added := allocationsOf(t, "context-cancel", func() { kept = new([64]byte) }); added != allocations["context-cancel"]+1 {
		t.Errorf("%v allocations a run with one added, %v without; want a difference of 1", added, allocations["context-cancel"])
	}
	got := map[string]float64{}
	for _, s := range strategies.All() {
		if s.Name == "write-timeout" { // its server runs on goroutines that allocate at any time
			continue
		}
		got[s.Name] = allocationsOf(t, s.Name, func() {})
	}
	for _, name := range slices.Sorted(maps.Keys(got)) {
		if want, ok := allocations[name]; !ok || got[name] != want {
			t.Errorf("%q: %v allocations a run, want %v", name, got[name], want)
		}
	}
}

var kept *[64]byte

// allocationsOf runs a no-op under a strategy and returns the allocations of a run. The
// op has the name of the one that each strategy suits.
func allocationsOf(t *testing.T, strategy string, do func()) float64 {
	t.Helper()
	countsAllocations(t)
	lab := newLab(roomy)
	lab.Ops = []handlers.Op{{Name: "db", Parts: parts(func(context.Context, slowops.Call) error {
		do()
		return nil
	})}}
	routes, w := lab.Routes(), nowhere{http.Header{}}
	r := request(t.Context(), http.MethodGet, "/"+strategy+"?op=db&delay=0&timeout=1s")
	r.Header.Del("User-Agent") // curl's answers are indented
	return testing.AllocsPerRun(500, func() { routes.ServeHTTP(w, r) })
}

// countsAllocations makes the counts of a test exact: no garbage collection empties a
// sync.Pool until the test ends. Under the race detector the pools drop values at random,
// and the test is skipped.
func countsAllocations(t *testing.T) {
	t.Helper()
	info, ok := debug.ReadBuildInfo()
	if ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"}) {
		t.Skip("under the race detector sync.Pool drops values at random")
	}
	percent := debug.SetGCPercent(-1)
	t.Cleanup(func() { debug.SetGCPercent(percent) })
}

// nowhere is a ResponseWriter that drops the response.
type nowhere struct{ header http.Header }

func (w nowhere) Header() http.Header         { return w.header }
func (w nowhere) Write(b []byte) (int, error) { return len(b), nil }
func (w nowhere) WriteHeader(int)             {}
func (w nowhere) Flush()                      {}
