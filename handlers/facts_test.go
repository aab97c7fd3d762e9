package handlers_test

import (
	"context"
	"net/http"
	"regexp"
	"testing"
	"time"

	"gotimeout/handlers"
	"gotimeout/internal/machine"
	"gotimeout/internal/receipt"
)

// used is what only the moment knows.
var used = regexp.MustCompile(`("(?:goroutines|cpu_ms|allocated_bytes)":) [\d.]+`)

// The golden facts are of two strategies, so that a new one doesn't change them.
func TestFacts(t *testing.T) {
	bubble(t, func(t *testing.T, lab *handlers.Lab) {
		lab.Strategies = lab.Strategies[:2]
		lab.Backends = func(context.Context) []handlers.Backend { t.Error("the backends were asked"); return nil }
		lab.Machine = machine.Machine{OS: "plan9/mips", Go: "go1.99", Version: "v1", Modules: map[string]string{"a.org/b": "v2"}}
		lab.Started = time.Now().In(time.FixedZone("east", 3600))
		go serve(lab, request(t.Context(), http.MethodGet, "/baseline?op=db&work=cpu&delay=5h"))
		get(t, lab, "/goroutine-abandon?delay=5h&timeout=1h")
		w := get(t, lab, "/lab")
		checkStatus(t, w, http.StatusOK)
		golden(t, "facts.json", used.ReplaceAll(w.Body.Bytes(), []byte("$1 0")))
	})
}

type moment struct {
	Now struct {
		Goroutines  int
		CPU         float64 `json:"cpu_ms"`
		Allocated   uint64  `json:"allocated_bytes"`
		LastReceipt string  `json:"last_receipt"`
	}
	Network bool
}

// What the process has used grows, and nothing needs to have run.
func TestFactsOfTheMoment(t *testing.T) {
	lab, _ := onNetwork(t)
	first := read[moment](t, get(t, lab, "/lab"))
	if first.Now.LastReceipt != "" || !first.Network || first.Now.Goroutines < 1 {
		t.Errorf("of a lab on a network that nobody has used: %+v", first)
	}
	for start := machine.Used(); machine.Used().ProcessorTime < start.ProcessorTime+time.Millisecond; {
	}
	second := read[moment](t, get(t, lab, "/lab"))
	if spent := second.Now.CPU - first.Now.CPU; spent < 1 || spent > 1e5 {
		t.Errorf("%v ms of processor time in a loop of 1 ms", spent)
	}
	if second.Now.Allocated <= first.Now.Allocated {
		t.Errorf("allocated %d, then %d bytes", first.Now.Allocated, second.Now.Allocated)
	}
}

// It is polled while something is measured, and must not be what is measured.
func BenchmarkFacts(b *testing.B) {
	lab := newLab(receipt.Limits{})
	lab.Machine = machine.This()
	routes := lab.Routes()
	r := request(b.Context(), http.MethodGet, "/lab")
	r.Header.Del("User-Agent")
	b.ReportAllocs()
	for b.Loop() {
		routes.ServeHTTP(discard{}, r)
	}
}

// discard is a caller who reads nothing.
type discard struct{}

func (discard) Header() http.Header         { return http.Header{} }
func (discard) Write(b []byte) (int, error) { return len(b), nil }
func (discard) WriteHeader(int)             {}
