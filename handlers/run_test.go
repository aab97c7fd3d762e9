package handlers_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"gotimeout/handlers"
	"gotimeout/internal/golden"
	"gotimeout/internal/receipt"
	"gotimeout/slowops"
)

const hour = time.Hour

// cell is the answer and the receipt of a strategy for 5 h of work under a timeout of 1 h.
type cell struct {
	status         int
	time           string
	answered       time.Duration
	over           any // milliseconds, nil is null
	says           string
	ended, backend float64 // milliseconds, in the receipt
	left           int
}

// oneOrNone are left where the answer and the op wait for the same context, and either may
// be first.
const oneOrNone = -1

// The matrix has a row for every strategy: a missing or an unused row fails the test.
var matrix = map[string]struct{ aware, deaf cell }{
	"baseline": {
		cell{200, "18000000ms", 5 * hour, nil, "", 18e6, 18e6, 0},
		cell{200, "18000000ms", 5 * hour, nil, "", 18e6, 18e6, 0}},
	"goroutine-abandon": {
		cell{504, "3600000ms", hour, 0.0, "no answer within 1h0m0s", 18e6, 18e6, 1},
		cell{504, "3600000ms", hour, 0.0, "no answer within 1h0m0s", 18e6, 18e6, 1}},
	"context-cancel": {
		cell{504, "3600000ms", hour, 0.0, "no answer within 1h0m0s: context deadline exceeded", 36e5, 36e5, 0},
		cell{200, "18000000ms", 5 * hour, 144e5, "", 18e6, 18e6, 0}},
	"timer-panic": {
		cell{504, "3600000ms", hour, 0.0, "no answer within 1h0m0s", 36e5, 36e5, 0},
		cell{504, "18000000ms", 5 * hour, 144e5, "no answer within 1h0m0s", 18e6, 18e6, 0}},
	"errgroup": {
		cell{504, "3600000ms", hour, 0.0, "no answer within 1h0m0s", 36e5, 36e5, 0},
		cell{504, "18000000ms", 5 * hour, 144e5, "no answer within 1h0m0s", 18e6, 18e6, 0}},
	"timeout-handler": {
		cell{504, "3600000ms", hour, 0.0, "no answer within 1h0m0s", 36e5, 36e5, oneOrNone},
		cell{504, "3600000ms", hour, 0.0, "no answer within 1h0m0s", 18e6, 18e6, 1}},
	"write-timeout": {
		cell{504, "18000000ms", 5 * hour, 144e5, "no answer within 1h0m0s: the server closed the connection without an answer: unexpected EOF", 18e6, 18e6, 0},
		cell{504, "18000000ms", 5 * hour, 144e5, "no answer within 1h0m0s: the server closed the connection without an answer: unexpected EOF", 18e6, 18e6, 0}},
	"io-timeout": {
		cell{504, "3600000ms", hour, 0.0, "no answer within 1h0m0s: read: i/o timeout", 36e5, 36e5, 0},
		cell{504, "3600000ms", hour, 0.0, "no answer within 1h0m0s: read: i/o timeout", 36e5, 36e5, 0}},
	"kill-query": {
		cell{504, "3600000ms", hour, 0.0, "no answer within 1h0m0s: context deadline exceeded", 36e5, 36e5, 0},
		cell{504, "3600000ms", hour, 0.0, "no answer within 1h0m0s: read: i/o timeout", 36e5, 36e5, 0}},
	"server-limit": {
		cell{504, "3600000ms", hour, 0.0, "no answer within 1h0m0s: read: i/o timeout", 36e5, 36e5, 0},
		cell{504, "3600000ms", hour, 0.0, "no answer within 1h0m0s: read: i/o timeout", 36e5, 36e5, 0}},
	"subprocess-kill": { // of a lab that makes the calls in this process
		cell{504, "3600000ms", hour, 0.0, "no answer within 1h0m0s: context deadline exceeded", 36e5, 36e5, 0},
		cell{200, "18000000ms", 5 * hour, 144e5, "", 18e6, 18e6, 0}},
	"offload": { // the same
		cell{504, "3600000ms", hour, 0.0, "no answer within 1h0m0s: context deadline exceeded", 36e5, 36e5, 0},
		cell{200, "18000000ms", 5 * hour, 144e5, "", 18e6, 18e6, 0}},
}

func TestMatrix(t *testing.T) {
	rows := 0
	for _, s := range newLab(roomy).Strategies {
		row, ok := matrix[s.Name]
		if !ok {
			t.Errorf("%s has no row", s.Name)
			continue
		}
		rows++
		for ctx, want := range map[string]cell{"aware": row.aware, "deaf": row.deaf} {
			t.Run(s.Name+"/"+ctx, func(t *testing.T) {
				bubble(t, func(t *testing.T, lab *handlers.Lab) { checkCell(t, lab, s.Name, string(s.Family), ctx, want) })
			})
		}
	}
	if rows != len(matrix) {
		t.Errorf("%d of %d rows were used", rows, len(matrix))
	}
}

func checkCell(t *testing.T, lab *handlers.Lab, name, family, ctx string, want cell) {
	start := time.Now()
	w := get(t, lab, "/"+name+"?op=db&delay=5h&timeout=1h&ctx="+ctx) // the op that each strategy suits
	if d := time.Since(start); d != want.answered {
		t.Errorf("answered after %v, want %v", d, want.answered)
	}
	checkStatus(t, w, want.status)
	answer := map[string]any{
		"completed": want.status == 200, "time": want.time, "timeout": "1h0m0s", "name": name, "slow": "db",
		"status": "completed", "ctx": ctx, "family": family, "network": nil,
		"answered_ms": float64(want.answered / time.Millisecond), "overshoot_ms": want.over,
		"error": nil, "receipt": "/receipts/lab-1",
	}
	if want.status != 200 {
		answer["status"], answer["error"] = "timed_out", map[string]any{"code": "timed_out", "message": want.says}
	}
	got := read[map[string]any](t, w)
	if failed, ok := got["error"].(map[string]any); ok && want.left == oneOrNone { // an op that has ended says why
		failed["message"] = strings.TrimSuffix(failed["message"].(string), ": context deadline exceeded")
	}
	if !reflect.DeepEqual(got, answer) {
		t.Errorf("answer\n%v, want\n%v", got, answer)
	}

	settle(t, lab)
	v := view(t, lab, w)
	if !v.Complete || *v.Ended != want.ended || *v.BackendEnded != want.backend || v.Goroutines != want.left && (want.left != oneOrNone || v.Goroutines > 1) {
		t.Errorf("complete %t, ended %v, backend %v, %d left; want %+v", v.Complete, *v.Ended, *v.BackendEnded, v.Goroutines, want)
	}
	if v.Connections != (receipt.Connections{Dialed: 1, Closed: 1, FINByUs: 1}) {
		t.Errorf("connections %+v, want those that the op reported", v.Connections)
	}
}

// An answer for a terminal has each key on a line of its own, those of pytimeout first.
func TestAnswerAsWritten(t *testing.T) {
	bubble(t, func(t *testing.T, lab *handlers.Lab) {
		lab.Ops[0].Doc = "" // not in the answer
		w := get(t, lab, "/context-cancel")
		golden.Check(t, "answer.json", w.Body.Bytes())
		for header, want := range map[string]string{
			"Content-Type": "application/json; charset=utf-8", "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff",
		} {
			if got := w.Header().Get(header); got != want {
				t.Errorf("%s is %q, want %q", header, got, want)
			}
		}
	})
}

// A deaf backend goes on after the op was cut, and that time is the waste.
func TestDeafBackend(t *testing.T) {
	bubble(t, func(t *testing.T, lab *handlers.Lab) {
		w := get(t, lab, "/context-cancel?op=all&backend=deaf&delay=5h&timeout=1h")
		checkStatus(t, w, http.StatusGatewayTimeout)
		if v := view(t, lab, w); v.Complete || v.Waste != nil || *v.Straggle != 0 {
			t.Errorf("at the answer: complete %t, waste %v", v.Complete, v.Waste)
		}
		settle(t, lab)
		if v := view(t, lab, w); *v.BackendEnded != 18e6 || *v.Waste != 144e5 || v.Connections.Dialed != 3 {
			t.Errorf("backend ended %v, waste %v, connections %+v", *v.BackendEnded, *v.Waste, v.Connections)
		}
	})
}

// A request that was on its way when the caller gave up reaches the backend after the
// answer. The receipt waits until the backend has begun and ended.
func TestLateBackend(t *testing.T) {
	bubble(t, func(t *testing.T, lab *handlers.Lab) {
		lab.Ops[0].Parts = parts(func(ctx context.Context, c slowops.Call) error {
			rc := lab.Ledger.Get(c.Run)
			time.AfterFunc(hour+10*time.Millisecond, rc.BackendBegan)
			time.AfterFunc(c.Delay, rc.BackendEnded)
			<-ctx.Done()
			return ctx.Err()
		})
		start := time.Now()
		get(t, lab, "/context-cancel?delay=5h&timeout=1h")
		v := read[receipt.View](t, get(t, lab, "/receipts/lab-1?wait=10h"))
		if d := time.Since(start); d != 5*hour || !v.Complete || *v.Waste != 144e5 {
			t.Errorf("after %v: complete %t, waste %v; want 5h, of which 4h are waste", d, v.Complete, v.Waste)
		}
	})
}

// eachStrategy runs a test under each strategy. The lab's fake ops suit every strategy.
func eachStrategy(t *testing.T, test func(t *testing.T, lab *handlers.Lab, path string)) {
	t.Helper()
	for _, s := range newLab(roomy).Strategies {
		t.Run(s.Name, func(t *testing.T) {
			bubble(t, func(t *testing.T, lab *handlers.Lab) {
				for i := range lab.Strategies {
					lab.Strategies[i].Only = nil
				}
				test(t, lab, "/"+s.Name)
			})
		})
	}
}

func checkError(t *testing.T, v receipt.View, status receipt.Status, want receipt.Error) {
	t.Helper()
	if *v.Status != status || v.Error == nil || *v.Error != want {
		t.Errorf("status %s with %+v, want %s with %+v", *v.Status, v.Error, status, want)
	}
}

func TestOpFails(t *testing.T) {
	eachStrategy(t, func(t *testing.T, lab *handlers.Lab, path string) {
		w := get(t, lab, path+"?op=fails")
		checkStatus(t, w, http.StatusBadGateway)
		checkError(t, view(t, lab, w), receipt.Failed, receipt.Error{Code: "op_failed", Message: "the backend said no"})
	})
}

// The answer to another request gets the code wrong_answer under every strategy, unless
// the run had timed out before.
func TestWrongAnswer(t *testing.T) {
	eachStrategy(t, func(t *testing.T, lab *handlers.Lab, path string) {
		lab.Ops[4].Parts = parts(func(ctx context.Context, c slowops.Call) error {
			select {
			case <-time.After(c.Delay):
			case <-ctx.Done():
			}
			return fmt.Errorf("get: %w", codedError{"wrong_answer", false})
		})
		w := get(t, lab, path+"?op=fails&delay=1h&timeout=2h")
		checkStatus(t, w, http.StatusBadGateway)
		checkError(t, view(t, lab, w), receipt.Failed, receipt.Error{Code: "wrong_answer", Message: "get: it said so"})

		w = get(t, lab, path+"?op=fails&delay=2h&timeout=1h")
		settle(t, lab)
		switch v := view(t, lab, w); path {
		case "/baseline", "/io-timeout", "/server-limit": // which don't end this op
			checkError(t, v, receipt.Failed, receipt.Error{Code: "wrong_answer", Message: "get: it said so"})
		default:
			if *v.Status != receipt.TimedOut || v.Error.Code != "timed_out" {
				t.Errorf("status %s with %+v", *v.Status, v.Error)
			}
		}
	})
}

// An op that panics, on any goroutine, is a failed run, and the lab serves the next run.
func TestOpPanics(t *testing.T) {
	eachStrategy(t, func(t *testing.T, lab *handlers.Lab, path string) {
		var log bytes.Buffer
		lab.Log = slog.New(slog.NewTextHandler(&log, nil))
		w := get(t, lab, path+"?op=panics")
		if !strings.Contains(log.String(), "panic=boom") || !strings.Contains(log.String(), "main_test.go") {
			t.Errorf("the log lacks the panic or its stack: %s", &log)
		}
		checkStatus(t, w, http.StatusBadGateway)
		checkError(t, view(t, lab, w), receipt.Failed, receipt.Error{Code: "op_panicked", Message: "the op panicked: boom"})
		checkCounts(t, lab, none)
		checkStatus(t, get(t, lab, path+"?delay=0"), http.StatusOK)
	})
}

// A caller that leaves is no timeout. Nobody gets the answer, and the receipt says so.
func TestCallerGone(t *testing.T) {
	eachStrategy(t, func(t *testing.T, lab *handlers.Lab, path string) {
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Minute, cancel)
		w := serve(lab, request(ctx, http.MethodGet, path+"?delay=5h&timeout=1h"))
		checkStatus(t, w, http.StatusBadGateway)
		settle(t, lab)
		v := view(t, lab, w)
		checkError(t, v, receipt.Failed, receipt.Error{Code: "caller_gone", Message: "the caller left before the answer"})
		ended := 6e4
		if path == "/goroutine-abandon" {
			ended = 18e6 // this strategy doesn't cancel the op
		}
		if *v.Answered != 6e4 || v.Overshoot != nil || *v.Ended != ended {
			t.Errorf("answered %v, overshoot %v, ended %v; want 60000, null, %v", *v.Answered, v.Overshoot, *v.Ended, ended)
		}
	})
}

// The op is prepared with the run's call before the clock starts. The receipt shows how long the preparation took.
func TestPrepareIsNotMeasured(t *testing.T) {
	eachStrategy(t, func(t *testing.T, lab *handlers.Lab, path string) {
		var got slowops.Call
		lab.Ops[0].Prepare = func(ctx context.Context, c slowops.Call) error {
			checkCounts(t, lab, receipt.Counts{InFlight: 1}) // a run counts as in flight while its op is prepared
			time.Sleep(hour)
			got = c
			return ctx.Err()
		}
		start := time.Now()
		w := get(t, lab, path+"?delay=1s&timeout=1m&ctx=deaf&backend=deaf")
		checkStatus(t, w, http.StatusOK)
		if d := time.Since(start); d != hour+time.Second {
			t.Errorf("took %v, want the hour of Prepare and 1s", d)
		}
		settle(t, lab)
		v := view(t, lab, w)
		if *v.Answered != 1000 || *v.Ended != 1000 || *v.BackendEnded != 1000 {
			t.Errorf("answered %v, ended %v, backend %v; want 1000 each", *v.Answered, *v.Ended, *v.BackendEnded)
		}
		if v.Prepared == nil || *v.Prepared != float64(hour.Milliseconds()) {
			t.Errorf("prepared %v, want the hour of Prepare", v.Prepared)
		}
		if got.Delay != time.Second || !got.Deaf || !got.DeafBackend {
			t.Errorf("prepared for %+v", got)
		}
	})
}

// A caller that leaves during the preparation cancels the preparation.
func TestCallerGoneBeforeTheStart(t *testing.T) {
	eachStrategy(t, func(t *testing.T, lab *handlers.Lab, path string) {
		lab.Ops[0].Prepare = func(ctx context.Context, _ slowops.Call) error {
			<-ctx.Done()
			return ctx.Err()
		}
		ctx, cancel := context.WithTimeout(t.Context(), hour)
		defer cancel()
		w := serve(lab, request(ctx, http.MethodGet, path))
		checkStatus(t, w, http.StatusBadGateway)
		settle(t, lab)
		checkError(t, view(t, lab, w), receipt.Failed, receipt.Error{Code: "caller_gone", Message: "the caller left before the answer"})
	})
}

// Where the preparation failed, no part of the op is called.
func TestPrepareFails(t *testing.T) {
	eachStrategy(t, func(t *testing.T, lab *handlers.Lab, path string) {
		all := &lab.Ops[3]
		all.Prepare = func(context.Context, slowops.Call) error { return errors.New("no speed of BENCHMARK") }
		for i := range all.Parts {
			all.Parts[i] = func(context.Context, slowops.Call) error {
				t.Error("the op was called")
				return nil
			}
		}
		w := get(t, lab, path+"?op=all")
		checkStatus(t, w, http.StatusBadGateway)
		settle(t, lab)
		v := view(t, lab, w)
		checkError(t, v, receipt.Failed, receipt.Error{Code: "op_failed", Message: "no speed of BENCHMARK"})
		if *v.Answered != 0 || v.BackendEnded != nil {
			t.Errorf("answered %v, backend %v", *v.Answered, v.BackendEnded)
		}
	})
}

// The lab ends a run that takes longer than its caps, with an error that names the lab
// and not the caller.
func TestOverCaps(t *testing.T) {
	bubble(t, func(t *testing.T, lab *handlers.Lab) {
		hangs := func(ctx context.Context, _ slowops.Call) error {
			<-ctx.Done()
			return ctx.Err()
		}
		lab.Ops = append(lab.Ops, handlers.Op{Name: "hangs", Parts: []handlers.Part{hangs}})
		start := time.Now()
		w := get(t, lab, "/baseline?op=hangs")
		checkStatus(t, w, http.StatusBadGateway)
		if v := view(t, lab, w); v.Error == nil || v.Error.Code != "over_caps" {
			t.Errorf("error %+v", v.Error)
		}
		if took := time.Since(start); took != lab.Bounds().Run {
			t.Errorf("ended after %v, want %v", took, lab.Bounds().Run)
		}
	})
}

// fakeTrace records its calls, and puts each span's name into the context.
type fakeTrace struct {
	mu    sync.Mutex
	calls []string
}

type spanKey struct{}

func (f *fakeTrace) record(text ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = append(f.calls, fmt.Sprint(text...))
}

func inSpan(ctx context.Context, span string) context.Context {
	around, _ := ctx.Value(spanKey{}).(string)
	return context.WithValue(ctx, spanKey{}, around+"/"+span)
}

func (f *fakeTrace) Handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.record("request ", r.Pattern)
		next.ServeHTTP(w, r.WithContext(inSpan(r.Context(), "request")))
	})
}

func (f *fakeTrace) Run(ctx context.Context, rc *receipt.Receipt) context.Context {
	f.record("run of ", rc.Run().Name, " in ", ctx.Value(spanKey{}))
	return inSpan(ctx, "run")
}

func (f *fakeTrace) Op(ctx context.Context, remote bool) (context.Context, string, func(error)) {
	f.record("op in ", ctx.Value(spanKey{}), " remote ", remote)
	return inSpan(ctx, "op"), "the-parent", func(err error) { f.record("op ended: ", err) }
}

func (f *fakeTrace) Answered(ctx context.Context, status receipt.Status, err *receipt.Error) {
	f.record("answered ", status, " in ", ctx.Value(spanKey{}), " failed ", err != nil)
}

// The span of a run is in the span of its request, and the span of the op in that of
// the run. The op gets the traceparent, and its span ends however the op ends.
func TestTrace(t *testing.T) {
	lab, f := newLab(roomy), new(fakeTrace)
	lab.Trace = f
	lab.Ops[0].Parts = parts(func(ctx context.Context, c slowops.Call) error {
		f.record("called with ", c.Traceparent, " in ", ctx.Value(spanKey{}))
		return nil
	})
	const ran = "run of baseline in /request, op in /request/run remote "
	for query, want := range map[string]string{
		"op=http": "true, called with the-parent in /request/run/op, op ended: <nil>, " +
			"answered completed in /request/run failed false",
		"op=fails":  "false, op ended: the backend said no, answered failed in /request/run failed true",
		"op=panics": "false, op ended: the op panicked, answered failed in /request/run failed true",
	} {
		f.calls = nil
		get(t, lab, "/baseline?delay=0&"+query)
		if got := strings.Join(f.calls, ", "); got != "request /baseline, "+ran+want {
			t.Errorf("%s:\n%s, want\n%s", query, got, want)
		}
	}
	f.calls = nil
	get(t, lab, "/receipts")
	get(t, lab, "/baseline?delay=nonsense")
	if want := []string{"request /baseline"}; !slices.Equal(f.calls, want) {
		t.Errorf("without a run: %q, want %q", f.calls, want)
	}
}

// Without a trace a call has no traceparent and makes no further allocations.
func TestNoTrace(t *testing.T) {
	countsAllocations(t)
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
		t.Errorf("the traceparent is %q", sent)
	}
	if allocs[false] >= allocs[true] {
		t.Errorf("%v allocations without a trace, %v with one that makes no allocations itself", allocs[false], allocs[true])
	}
}

// quiet is a trace that does nothing, so that only the cost of calling it is measured.
type quiet struct{}

func (quiet) Handler(next http.Handler) http.Handler                      { return next }
func (quiet) Run(ctx context.Context, _ *receipt.Receipt) context.Context { return ctx }
func (quiet) Answered(context.Context, receipt.Status, *receipt.Error)    {}
func (quiet) Op(ctx context.Context, _ bool) (_ context.Context, _ string, _ func(error)) {
	return ctx, "", func(error) {}
}

// Whatever the caps are, each bound is longer than the bounds inside it.
func TestBoundsNest(t *testing.T) {
	for _, caps := range [][2]time.Duration{{time.Millisecond, time.Millisecond}, {10 * time.Second, 30 * time.Second}, {time.Hour, time.Second}, {time.Second, time.Hour}, {time.Hour, time.Hour}} {
		lab := handlers.Lab{MaxDelay: caps[0], MaxTimeout: caps[1]}
		b := lab.Bounds()
		for _, pair := range []struct {
			name         string
			inner, outer time.Duration
		}{
			{"a delay and a timeout within a call", caps[0] + caps[1], b.Call},
			{"the preparation and a call within a run", handlers.Prepare + b.Call, b.Run},
			{"a run within an answer", b.Run, b.Answer},
			{"an answer within the server's timeout", b.Answer, b.Write},
			{"the server's timeout within a client's patience", b.Write, b.Patience},
		} {
			if pair.inner >= pair.outer {
				t.Errorf("delays up to %s, timeouts up to %s: %s is %s and %s", caps[0], caps[1], pair.name, pair.inner, pair.outer)
			}
		}
	}
}

// A deaf call to a silent server ends at its limit, and its caller is answered before
// the lab's own bound.
func TestDeafCallEndsInTime(t *testing.T) {
	bubble(t, func(t *testing.T, lab *handlers.Lab) {
		lab.Ops[0].Parts = parts(func(_ context.Context, c slowops.Call) error {
			time.Sleep(c.Limit)
			return fmt.Errorf("%w: read: i/o timeout", slowops.ErrLimit)
		})
		for path, want := range map[string]string{
			"/baseline?ctx=deaf":       "over_caps",
			"/context-cancel?ctx=deaf": "timed_out",
		} {
			start := time.Now()
			w := get(t, lab, path)
			if took := time.Since(start); took != lab.Bounds().Call {
				t.Errorf("%s took %s", path, took)
			}
			if v := view(t, lab, w); v.Error == nil || v.Error.Code != want {
				t.Errorf("%s: error %+v, want %s", path, v.Error, want)
			}
		}
	})
}

// deadWriter is a ResponseWriter whose connection is broken.
type deadWriter struct{ *httptest.ResponseRecorder }

func (deadWriter) FlushError() error { return os.ErrDeadlineExceeded }

// The receipt of a run whose answer could not be written says so, and has no answered time.
func TestAnswerLost(t *testing.T) {
	bubble(t, func(t *testing.T, lab *handlers.Lab) {
		lab.Routes().ServeHTTP(deadWriter{httptest.NewRecorder()}, request(t.Context(), http.MethodGet, "/baseline?delay=1s"))
		settle(t, lab)
		v := read[receipt.View](t, get(t, lab, "/receipts/lab-1"))
		if *v.Status != receipt.Unanswered || v.Answered != nil || v.Overshoot != nil || v.Waste != nil || *v.Ended != 1000 || *v.BackendEnded != 1000 || v.Error.Code != "answer_lost" {
			t.Errorf("status %s with %+v, answered %v, ended %v, backend ended %v", *v.Status, v.Error, v.Answered, v.Ended, v.BackendEnded)
		}
		if got := sentence(t.Context(), t, lab, "/baseline?delay=0"); !strings.Contains(got, "its answer could not be written") {
			t.Errorf("the page says %q", got)
		}
	})
}
