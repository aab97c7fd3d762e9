package handlers_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"gotimeout/handlers"
	"gotimeout/internal/wire"
	"gotimeout/slowops"
	"gotimeout/strategies"
)

// elsewhere makes the calls of a run by another lab, as a child does, after a start that takes
// a minute. They end with their context, deaf or not.
func elsewhere(l, other *handlers.Lab) handlers.Outside {
	return func(ctx context.Context, query string, call slowops.Call) (handlers.Part, error) {
		if strings.Contains(query, "op=fails") {
			return nil, errors.New("no process can be started")
		}
		time.Sleep(time.Minute)
		inside, err := other.Inside(ctx, strings.Replace(query, "ctx=deaf", "ctx=aware", 1))
		if err != nil {
			return nil, err
		}
		return func(ctx context.Context, c slowops.Call) error {
			if c.Run != call.Run {
				return errors.New("the call has another tag")
			}
			return inside(ctx, c)
		}, nil
	}
}

// The calls of a run outside the process are made as the query says. The clock starts when the run
// has begun there, and the run counts as one that computes.
func TestOutside(t *testing.T) {
	bubble(t, func(t *testing.T, lab *handlers.Lab) {
		other := newLab(roomy)
		other.Ops = fakeOps(lab.Ledger) // its backends report to the parent
		lab.Outside = map[strategies.Place]handlers.Outside{strategies.InChild: elsewhere(lab, other)}
		w := get(t, lab, "/subprocess-kill?op=http&backend=deaf&ctx=deaf&delay=5h&timeout=1h")
		checkStatus(t, w, http.StatusGatewayTimeout)
		v := view(t, lab, w)
		if *v.Answered != 36e5 || *v.Ended != 36e5 || v.Prepared == nil || *v.Prepared != 60e3 || v.Connections.Dialed != 1 {
			t.Errorf("%+v", v)
		}
		v = view(t, lab, get(t, lab, "/subprocess-kill?op=db&work=cpu&delay=30m&timeout=1h"))
		if *v.Answered != 18e5 || *v.Status != "completed" {
			t.Errorf("%+v", v)
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
