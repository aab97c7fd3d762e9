package handlers_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"gotimeout/handlers"
	"gotimeout/internal/receipt"
	"gotimeout/slowops"
)

// eachStrategy runs a test of what a run is like whatever the strategy.
func eachStrategy(t *testing.T, test func(t *testing.T, lab *handlers.Lab, path string)) {
	t.Helper()
	for _, s := range newLab(roomy).Strategies {
		t.Run(s.Name, func(t *testing.T) {
			bubble(t, func(t *testing.T, lab *handlers.Lab) { test(t, lab, "/"+s.Name) })
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

// An answer to another's question has its code under every strategy, unless it
// came when the run had timed out.
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
		case "/baseline", "/io-timeout": // which don't end this op
			checkError(t, v, receipt.Failed, receipt.Error{Code: "wrong_answer", Message: "get: it said so"})
		default:
			if *v.Status != receipt.TimedOut || v.Error.Code != "timed_out" {
				t.Errorf("status %s with %+v", *v.Status, v.Error)
			}
		}
	})
}

// An op that panics takes no one with it: on whatever goroutine, it is a failed
// run, and the next one is served.
func TestOpPanics(t *testing.T) {
	eachStrategy(t, func(t *testing.T, lab *handlers.Lab, path string) {
		var log bytes.Buffer
		lab.Log = slog.New(slog.NewTextHandler(&log, nil))
		w := get(t, lab, path+"?op=panics")
		if !strings.Contains(log.String(), "panic=boom") || !strings.Contains(log.String(), "fake_test.go") {
			t.Errorf("the log lacks the panic or its stack: %s", &log)
		}
		checkStatus(t, w, http.StatusBadGateway)
		checkError(t, view(t, lab, w), receipt.Failed, receipt.Error{Code: "op_panicked", Message: "the op panicked: boom"})
		checkCounts(t, lab, none)
		checkStatus(t, get(t, lab, path+"?delay=0"), http.StatusOK)
	})
}

// A caller that leaves is no timeout. The answer is for nobody, the receipt
// says it.
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
			ended = 18e6 // nobody told the op
		}
		if *v.Answered != 6e4 || v.Overshoot != nil || *v.Ended != ended {
			t.Errorf("answered %v, overshoot %v, ended %v; want 60000, null, %v", *v.Answered, v.Overshoot, *v.Ended, ended)
		}
	})
}

// The op is prepared before the clock starts, with the call as it will be. The receipt shows the time that the preparation took.
func TestPrepareIsNotMeasured(t *testing.T) {
	eachStrategy(t, func(t *testing.T, lab *handlers.Lab, path string) {
		var got slowops.Call
		lab.Ops[0].Prepare = func(ctx context.Context, c slowops.Call) error {
			checkCounts(t, lab, receipt.Counts{InFlight: 1}) // the limits hold for what is prepared, too
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

// A caller that leaves while the op is prepared ends that too.
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

// Of an op that could not be prepared no part is called.
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

// A run that takes longer than the lab allows is ended by it, which says so and
// doesn't blame the caller.
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
		if took := time.Since(start); took != lab.Longest() {
			t.Errorf("ended after %v, want %v", took, lab.Longest())
		}
	})
}
