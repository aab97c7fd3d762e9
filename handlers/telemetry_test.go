package handlers_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"gotimeout/internal/receipt"
	"gotimeout/slowops"
)

// fakeTrace keeps what it is told, and puts each span's name into the context.
type fakeTrace struct {
	mu    sync.Mutex
	words []string
}

type within struct{}

func (f *fakeTrace) say(words ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.words = append(f.words, fmt.Sprint(words...))
}

func in(ctx context.Context, span string) context.Context {
	around, _ := ctx.Value(within{}).(string)
	return context.WithValue(ctx, within{}, around+"/"+span)
}

func (f *fakeTrace) Handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.say("request ", r.Pattern)
		next.ServeHTTP(w, r.WithContext(in(r.Context(), "request")))
	})
}

func (f *fakeTrace) Run(ctx context.Context, rc *receipt.Receipt) context.Context {
	f.say("run of ", rc.Run().Name, " in ", ctx.Value(within{}))
	return in(ctx, "run")
}

func (f *fakeTrace) Op(ctx context.Context, remote bool) (context.Context, string, func(error)) {
	f.say("op in ", ctx.Value(within{}), " remote ", remote)
	return in(ctx, "op"), "the-parent", func(err error) { f.say("op ended: ", err) }
}

func (f *fakeTrace) Answered(ctx context.Context, status receipt.Status, err *receipt.Error) {
	f.say("answered ", status, " in ", ctx.Value(within{}), " failed ", err != nil)
}

// A run is in the span of its request, and its op in that of the run: the op
// gets the traceparent, and whatever becomes of it ends its span.
func TestTrace(t *testing.T) {
	lab, f := newLab(roomy), new(fakeTrace)
	lab.Trace = f
	lab.Ops[0].Parts = parts(func(ctx context.Context, c slowops.Call) error {
		f.say("called with ", c.Traceparent, " in ", ctx.Value(within{}))
		return nil
	})
	const ran = "run of baseline in /request, op in /request/run remote "
	for query, want := range map[string]string{
		"op=http": "true, called with the-parent in /request/run/op, op ended: <nil>, " +
			"answered completed in /request/run failed false",
		"op=fails":  "false, op ended: the backend said no, answered failed in /request/run failed true",
		"op=panics": "false, op ended: the op panicked, answered failed in /request/run failed true",
	} {
		f.words = nil
		get(t, lab, "/baseline?delay=0&"+query)
		if got := strings.Join(f.words, ", "); got != "request /baseline, "+ran+want {
			t.Errorf("%s:\n%s, want\n%s", query, got, want)
		}
	}
	f.words = nil
	get(t, lab, "/receipts")
	get(t, lab, "/baseline?delay=nonsense")
	if want := []string{"request /baseline"}; !slices.Equal(f.words, want) {
		t.Errorf("without a run: %q, want %q", f.words, want)
	}
}

// Without a trace a call is made of what it always was, and costs what it did.
func TestNoTrace(t *testing.T) {
	lab, allocs := newLab(roomy), map[bool]float64{}
	var sent string
	lab.Ops[0].Parts = parts(func(_ context.Context, c slowops.Call) error {
		sent = c.Traceparent
		return nil
	})
	lab.Ops[0].Reports = 0
	routes, r := lab.Routes(), request(t.Context(), http.MethodGet, "/baseline?delay=0")
	r.Header.Set("Traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
	measure := func() float64 {
		return testing.AllocsPerRun(200, func() { routes.ServeHTTP(discard{}, r) })
	}
	allocs[false] = measure()
	lab.Trace = quiet{}
	routes = lab.Routes()
	allocs[true] = measure()
	if sent != "" {
		t.Errorf("sent %q", sent)
	}
	if allocs[false] >= allocs[true] {
		t.Errorf("%v allocations without a trace, %v with one that makes none itself", allocs[false], allocs[true])
	}
}

// quiet is a trace that does nothing, so that what is left is the cost of
// being asked.
type quiet struct{}

func (quiet) Handler(next http.Handler) http.Handler                      { return next }
func (quiet) Run(ctx context.Context, _ *receipt.Receipt) context.Context { return ctx }
func (quiet) Answered(context.Context, receipt.Status, *receipt.Error)    {}
func (quiet) Op(ctx context.Context, _ bool) (_ context.Context, _ string, _ func(error)) {
	return ctx, "", func(error) {}
}
