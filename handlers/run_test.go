package handlers_test

import (
	"context"
	"net/http"
	"reflect"
	"testing"
	"time"

	"gotimeout/handlers"
	"gotimeout/internal/receipt"
	"gotimeout/slowops"
)

const hour = time.Hour

// cell is what a strategy answers around 5 h of work under a timeout of 1 h.
type cell struct {
	status         int
	time           string
	answered       time.Duration
	over           any // milliseconds, nil is null
	says           string
	ended, backend float64 // milliseconds, of the receipt
	left           int
}

// The matrix has a row for every strategy, so that a missing or an unused one fails.
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
	"io-timeout": {
		cell{504, "3600000ms", hour, 0.0, "no answer within 1h0m0s: read: i/o timeout", 36e5, 36e5, 0},
		cell{504, "3600000ms", hour, 0.0, "no answer within 1h0m0s: read: i/o timeout", 36e5, 36e5, 0}},
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
	w := get(t, lab, "/"+name+"?op=http&delay=5h&timeout=1h&ctx="+ctx)
	if d := time.Since(start); d != want.answered {
		t.Errorf("answered after %v, want %v", d, want.answered)
	}
	checkStatus(t, w, want.status)
	answer := map[string]any{
		"completed": want.status == 200, "time": want.time, "timeout": "1h0m0s", "name": name, "slow": "http",
		"status": "completed", "ctx": ctx, "family": family, "network": nil,
		"answered_ms": float64(want.answered / time.Millisecond), "overshoot_ms": want.over,
		"error": nil, "receipt": "/receipts/lab-1",
	}
	if want.status != 200 {
		answer["status"], answer["error"] = "timed_out", map[string]any{"code": "timed_out", "message": want.says}
	}
	if got := read[map[string]any](t, w); !reflect.DeepEqual(got, answer) {
		t.Errorf("answer\n%v, want\n%v", got, answer)
	}

	settle(t, lab)
	v := view(t, lab, w)
	if !v.Complete || *v.Ended != want.ended || *v.BackendEnded != want.backend || v.Goroutines != want.left {
		t.Errorf("complete %t, ended %v, backend %v, %d left; want %+v", v.Complete, *v.Ended, *v.BackendEnded, v.Goroutines, want)
	}
	if v.Connections != (receipt.Connections{Dialed: 1, Closed: 1, FINByUs: 1}) {
		t.Errorf("connections %+v, want those the op told of", v.Connections)
	}
}

// The answer is for a person in a terminal: the original's keys first, each on
// its line.
func TestAnswerAsWritten(t *testing.T) {
	bubble(t, func(t *testing.T, lab *handlers.Lab) {
		lab.Ops[0].Doc = "" // not in the answer
		w := get(t, lab, "/context-cancel")
		golden(t, "answer.json", w.Body.Bytes())
		for header, want := range map[string]string{
			"Content-Type": "application/json; charset=utf-8", "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff",
		} {
			if got := w.Header().Get(header); got != want {
				t.Errorf("%s is %q, want %q", header, got, want)
			}
		}
	})
}

// A deaf backend goes on after the op was cut: that is the waste.
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

// A request that was on its way when the caller gave up reaches the backend
// after the answer: the receipt waits for it and for its end.
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
