package handlers_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"gotimeout/handlers"
	"gotimeout/internal/receipt"
	"gotimeout/internal/wire"
	"gotimeout/slowops"
	"gotimeout/strategies"
)

// elsewhere makes the calls of a run of lab by another lab, as a child does, after a start that takes
// a minute. They end with their context, deaf or not.
func elsewhere(lab *handlers.Lab) map[strategies.Place]handlers.Outside {
	other := newLab(roomy)
	other.Ops = fakeOps(lab.Ledger) // its backends report to the parent
	begin := func(query string, call slowops.Call) (handlers.Part, error) {
		if strings.Contains(query, "op=fails") {
			return nil, errors.New("no process can be started")
		}
		started := call.Phase("", handlers.PhaseStart)
		return func(ctx context.Context, c slowops.Call) error {
			if c.Run != call.Run {
				return errors.New("the call has another tag")
			}
			select {
			case <-time.After(time.Minute):
				started(nil)
			case <-ctx.Done():
				started(ctx.Err())
				return ctx.Err()
			}
			inside, err := other.Inside(ctx, strings.Replace(query, "ctx=deaf", "ctx=aware", 1))
			if err != nil {
				return err
			}
			return inside(ctx, c)
		}, nil
	}
	return map[strategies.Place]handlers.Outside{strategies.InChild: begin}
}

// The calls of a run outside the process are made as the query says. The start there is a phase of the run,
// within its timeout, and the run counts as one that computes.
func TestOutside(t *testing.T) {
	bubble(t, func(t *testing.T, lab *handlers.Lab) {
		lab.Outside = elsewhere(lab)
		w := get(t, lab, "/subprocess-kill?op=http&backend=deaf&ctx=deaf&delay=5h&timeout=1h")
		checkStatus(t, w, http.StatusGatewayTimeout)
		v := view(t, lab, w)
		if *v.Answered != 36e5 || *v.Ended != 36e5 || v.Prepared != nil || v.Connections.Dialed != 1 || *v.Phases[0].Took != 60e3 {
			t.Errorf("%+v", v)
		}
		w = get(t, lab, "/subprocess-kill?op=db&work=cpu&delay=30m&timeout=1h")
		v = view(t, lab, w)
		if *v.Answered != 18e5+60e3 || *v.Status != "completed" {
			t.Errorf("%+v", v)
		}
		if page := receiptPage(t, lab, *read[wire.Answer](t, w).Receipt).Body.String(); !strings.Contains(page, "the start of the process") {
			t.Errorf("the start is not explained:\n%s", page)
		}
		v = view(t, lab, get(t, lab, "/subprocess-kill?op=http&delay=0&timeout=30s"))
		if *v.Answered != 30e3 || *v.Status != "timed_out" || !v.Phases[0].Failed || v.Connections.Dialed != 0 {
			t.Errorf("cut at the start: %+v", v)
		}
		w = get(t, lab, "/subprocess-kill?op=fails")
		checkStatus(t, w, http.StatusBadGateway)
		if a := read[wire.Answer](t, w); a.Error.Code != "op_failed" || a.Error.Message != "no process can be started" {
			t.Errorf("%+v", a.Error)
		}
		go get(t, lab, "/subprocess-kill?op=cache&timeout=1h")
		time.Sleep(time.Second)
		if got := lab.Ledger.Counts().Busy; got < 1 {
			t.Errorf("%d runs compute, want the child", got)
		}
	})
}

// The receipt of a run outside the process or the request has the times of the caller's clock.
func TestCallersClock(t *testing.T) {
	bubble(t, func(t *testing.T, lab *handlers.Lab) {
		lab.Outside = elsewhere(lab)
		lab.Queue = &fakeQueue{worker: newLab(roomy), ends: map[string]json.RawMessage{}}
		for path, want := range map[string]struct {
			answered time.Duration
			status   int
		}{
			"/subprocess-kill?delay=1h&timeout=2h": {time.Minute + hour, http.StatusOK},
			"/subprocess-kill?delay=2h&timeout=1h": {hour, http.StatusGatewayTimeout},
			"/subprocess-kill?delay=0&timeout=30s": {30 * time.Second, http.StatusGatewayTimeout},
			"/offload?delay=1h&timeout=2h":         {time.Second, http.StatusAccepted},
			"/offload?delay=1h&timeout=500ms":      {500 * time.Millisecond, http.StatusGatewayTimeout},
		} {
			began := time.Now()
			w := get(t, lab, path)
			took := time.Since(began)
			checkStatus(t, w, want.status)
			if v := view(t, lab, w); took != want.answered || *v.Answered != receipt.Milliseconds(took) || v.Started != began.UTC().Format(time.RFC3339Nano) {
				t.Errorf("%s: the caller had its answer after %s, want %s; the receipt has %v ms from %s", path, took, want.answered, *v.Answered, v.Started)
			}
		}
	})
}
