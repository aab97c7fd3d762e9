package handlers_test

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"regexp"
	"slices"
	"testing"
	"time"

	"gotimeout/handlers"
	"gotimeout/internal/golden"
	"gotimeout/internal/machine"
	"gotimeout/internal/receipt"
	"gotimeout/internal/wire"
)

// used matches the figures that differ from run to run.
var used = regexp.MustCompile(`("(?:goroutines|cpu_ms|allocated_bytes)":) [\d.]+`)

// The golden file has two strategies, so that a new strategy doesn't change it.
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
		golden.Check(t, "lab.json", used.ReplaceAll(w.Body.Bytes(), []byte("$1 0")))
	})
}

type labState struct {
	Now struct {
		Goroutines  int
		CPU         float64 `json:"cpu_ms"`
		Allocated   uint64  `json:"allocated_bytes"`
		LastReceipt string  `json:"last_receipt"`
	}
	Network bool
}

// The figures of the process grow, also in a lab without a run.
func TestFactsOfTheMoment(t *testing.T) {
	lab, _ := onNetwork(t)
	first := read[labState](t, get(t, lab, "/lab"))
	if first.Now.LastReceipt != "" || !first.Network || first.Now.Goroutines < 1 {
		t.Errorf("a lab without a run: %+v", first)
	}
	for start := machine.Used(); machine.Used().ProcessorTime < start.ProcessorTime+time.Millisecond; {
	}
	second := read[labState](t, get(t, lab, "/lab"))
	if spent := second.Now.CPU - first.Now.CPU; spent < 1 || spent > 1e5 {
		t.Errorf("%v ms of processor time for a loop of 1 ms", spent)
	}
	if second.Now.Allocated <= first.Now.Allocated {
		t.Errorf("allocated %d, then %d bytes", first.Now.Allocated, second.Now.Allocated)
	}
}

// Programs poll /lab while they measure, so /lab must cost little.
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

// discard is a ResponseWriter that drops the response.
type discard struct{}

func (discard) Header() http.Header         { return http.Header{} }
func (discard) Write(b []byte) (int, error) { return len(b), nil }
func (discard) WriteHeader(int)             {}

func TestHealthz(t *testing.T) {
	w := get(t, newLab(roomy), "/healthz")
	checkStatus(t, w, http.StatusOK)
	if w.Body.String() != "ok\n" || w.Header().Get("Content-Type") != "text/plain; charset=utf-8" {
		t.Errorf("%q of %s", w.Body, w.Header().Get("Content-Type"))
	}
}

// twoBackends returns an embedded backend at work and a real one.
func twoBackends(broken error) func(context.Context) []handlers.Backend {
	return func(context.Context) []handlers.Backend {
		db := handlers.Backend{Health: handlers.Health{Name: "db", Addr: "db.lan:3306", Ready: broken == nil}}
		if broken != nil {
			db.Error = broken.Error()
		}
		began := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
		return []handlers.Backend{
			{Health: handlers.Health{Name: "http", Embedded: true, Addr: "127.0.0.1:1", Ready: true},
				Working: []handlers.Job{{Receipt: "lab-1", Work: "GET /delay/5", Began: began}, {Work: "GET /delay/0", Began: began}}},
			db,
		}
	}
}

func TestReadyz(t *testing.T) {
	for name, tc := range map[string]struct {
		broken error
		status int
	}{
		"ready":  {nil, http.StatusOK},
		"broken": {errors.New("connection refused"), http.StatusServiceUnavailable},
	} {
		lab := newLab(roomy)
		lab.Backends = twoBackends(tc.broken)
		w := get(t, lab, "/readyz")
		checkStatus(t, w, tc.status)
		golden.Check(t, "readyz-"+name+".json", w.Body.Bytes())
	}
}

func TestBackends(t *testing.T) {
	bubble(t, func(t *testing.T, lab *handlers.Lab) {
		lab.Backends = twoBackends(errors.New("connection refused"))
		go serve(lab, request(t.Context(), http.MethodGet, "/baseline?op=db&work=cpu&delay=5h"))
		get(t, lab, "/goroutine-abandon?delay=5h&timeout=1h")
		w := get(t, lab, "/backends")
		checkStatus(t, w, http.StatusOK)
		if n := read[struct{ Goroutines int }](t, w).Goroutines; n < 3 {
			t.Errorf("%d goroutines, want at least the test's and the two at work", n)
		}
		number := regexp.MustCompile(`"goroutines": \d+`)
		golden.Check(t, "backends.json", number.ReplaceAll(w.Body.Bytes(), []byte(`"goroutines": 0`)))
	})
}

// The lab asks its backends with the caller's context.
func TestBackendsContext(t *testing.T) {
	for _, path := range []string{"/readyz", "/backends"} {
		lab := newLab(roomy)
		var got error
		lab.Backends = func(ctx context.Context) []handlers.Backend {
			got = ctx.Err()
			return nil
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		serve(lab, request(ctx, http.MethodGet, path))
		if got != context.Canceled {
			t.Errorf("%s: the context is not the caller's: %v", path, got)
		}
	}
}

// fakeKernel no longer knows any connection, and has one socket for each backend.
type fakeKernel struct{ err error }

func (k fakeKernel) Known(netip.AddrPort, netip.AddrPort) (bool, error) { return false, k.err }

func (k fakeKernel) Sockets(names []string) (*wire.Sockets, error) {
	s := &wire.Sockets{}
	for _, name := range names {
		s.Backends = append(s.Backends, wire.BackendSockets{Name: name, Client: map[string]int{"TIME-WAIT": 1}})
	}
	return s, k.err
}

func TestSockets(t *testing.T) {
	lab := newLab(roomy)
	lab.Kernel = fakeKernel{}
	for query, want := range map[string][]string{"": {"http", "cache", "db"}, "?op=db": {"db"}, "?op=all": {"http", "cache", "db"}, "?op=fails": nil} {
		w := get(t, lab, "/sockets"+query)
		checkStatus(t, w, http.StatusOK)
		var names []string
		for _, b := range read[struct{ Sockets wire.Sockets }](t, w).Sockets.Backends {
			names = append(names, b.Name)
		}
		if !slices.Equal(names, want) {
			t.Errorf("%q: %v, want %v", query, names, want)
		}
	}
	checkStatus(t, get(t, lab, "/sockets?op=dbx"), http.StatusBadRequest)
	checkStatus(t, get(t, lab, "/sockets?state=x"), http.StatusBadRequest)
}

// Where the system can't list sockets, the answer is null and not an empty list.
func TestSocketsNull(t *testing.T) {
	lab := newLab(roomy)
	for _, kernel := range []handlers.Kernel{nil, fakeKernel{errors.New("no sock_diag here")}} {
		lab.Kernel = kernel
		got := read[map[string]any](t, get(t, lab, "/sockets"))
		if s, there := got["sockets"]; !there || s != nil || kernel != nil && got["error"] != "no sock_diag here" {
			t.Errorf("%v", got)
		}
	}
}

// A connection that seemed to end with a FIN, and that the kernel no longer knows, ended
// with a reset.
func TestReceiptsResolveEnds(t *testing.T) {
	for _, test := range []struct {
		kernel handlers.Kernel
		want   receipt.Connections
	}{
		{nil, receipt.Connections{Dialed: 1, Closed: 1, FINByUs: 1}},
		{fakeKernel{errors.New("no")}, receipt.Connections{Dialed: 1, Closed: 1, FINByUs: 1}},
		{fakeKernel{}, receipt.Connections{Dialed: 1, Closed: 1, RST: 1}},
	} {
		bubble(t, func(t *testing.T, lab *handlers.Lab) {
			lab.Kernel = test.kernel
			if v := view(t, lab, get(t, lab, "/baseline?op=http&delay=1s")); v.Connections != test.want {
				t.Errorf("%+v, want %+v", v.Connections, test.want)
			}
		})
	}
}
