package receipt_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"gotimeout/internal/receipt"
)

// timeline writes the phases of a view in one line: each has its name, when it began, how
// long it took or that it goes on, and whether it failed.
func timeline(v receipt.View) string {
	var words []string
	for _, p := range v.Phases {
		took := "…"
		if p.Took != nil {
			took = fmt.Sprint(*p.Took)
		}
		word := fmt.Sprintf("%s%s@%v+%s", p.Op, p.Name, *p.At, took)
		if p.Failed {
			word += "!"
		}
		words = append(words, word)
	}
	return strings.Join(words, " ")
}

func TestPhases(t *testing.T) {
	bubble(t, func(t *testing.T, l *receipt.Ledger) {
		r := open(t, l, receipt.Run{Timeout: hour, Ops: 1})
		time.Sleep(hour)
		r.Start() // a phase before the start is no part of the run
		connected := r.PhaseBegan("http", "connect")
		time.Sleep(time.Millisecond)
		connected(nil)
		read := r.PhaseBegan("http", "read")
		time.Sleep(time.Millisecond)
		read(nil)
		time.Sleep(time.Millisecond)
		read(errors.New("reset")) // the phase went on: its last end counts
		late := r.PhaseBegan("http", "tls")
		if got := timeline(r.View()); got != "connect@0+1 read@1+2! tls@3+…" {
			t.Errorf("got %s", got)
		}
		opEnds(r)
		r.Answered(receipt.Completed, nil)
		before := r.View()
		time.Sleep(time.Millisecond)
		late(nil) // the receipt is complete
		if got := timeline(r.View()); got != "connect@0+1 read@1+2! tls@3+1" {
			t.Errorf("after the receipt was complete: %s", got)
		}
		if got := timeline(before); got != "connect@0+1 read@1+2! tls@3+…" {
			t.Errorf("the earlier view changed: %s", got)
		}
	})
}

// In a run of several ops each phase names its op.
func TestPhasesOfSeveral(t *testing.T) {
	bubble(t, func(t *testing.T, l *receipt.Ledger) {
		r := open(t, l, receipt.Run{Ops: 2})
		r.PhaseBegan("db ", "dial")(nil)
		r.PhaseBegan("cache ", "dial")
		if got := timeline(r.View()); got != "db dial@0+0 cache dial@0+…" {
			t.Errorf("got %s", got)
		}
		opEnds(r)
		opEnds(r)
		r.Answered(receipt.Completed, nil)
	})
}

func TestPhasesInJSON(t *testing.T) {
	bubble(t, func(t *testing.T, l *receipt.Ledger) {
		r := open(t, l, receipt.Run{Name: "io-timeout", Target: "stall", Timeouts: map[string]string{"read_timeout": "1s"}, Timeout: hour, Ops: 1})
		r.PhaseBegan("http", "connect")(nil)
		r.PhaseBegan("http", "body")
		r.DialOutlived("set a timeout")
		time.Sleep(time.Second)
		opEnds(r)
		r.Answered(receipt.TimedOut, &receipt.Error{Code: "read_timeout"})
		checkJSON(t, r.View(), `{"id":"lab-1","complete":true,"name":"io-timeout","family":"","slow":"","ctx":"","target":"stall","network":null,`+
			`"delay":"0s","timeout":"1h0m0s","started":"2000-01-01T00:00:00Z","timeouts":{"read_timeout":"1s"},`+
			`"status":"timed_out","error":{"code":"read_timeout","message":""},"answered_ms":1000,"overshoot_ms":null,"ended_ms":1000,"straggle_ms":0,`+
			`"backend_ended_ms":null,"waste_ms":null,"goroutines_left":0,"connections":{"dialed":0,"reused":0,"kept":0,"closed":0,"fin_by_us":0,"fin_by_peer":0,"rst":0,"unknown":0},`+
			`"phases":[{"name":"connect","at_ms":0,"took_ms":0},{"name":"body","at_ms":0,"took_ms":null}],`+
			`"outlived_dials":1,"remedy":"set a timeout"}`)
	})
}

// A dial that outlives its call has its call's part of the run's descriptors until it ends, in all and of
// the client, whether the receipt is open, complete, or open again.
func TestOutlivedDialsHaveDescriptors(t *testing.T) {
	bubble(t, func(t *testing.T, l *receipt.Ledger) {
		r := open(t, l, receipt.Run{Client: "one", Ops: 2, Descriptors: 6})
		first, second := r.DialOutlived(""), r.DialOutlived("")
		opEnds(r)
		completes(r)
		checkComplete(t, r, true)
		checkCounts(t, l, receipt.Counts{Descriptors: 6})
		first()
		checkCounts(t, l, receipt.Counts{Descriptors: 3})
		r.BackendBegan()
		checkCounts(t, l, receipt.Counts{Abandoned: 1, Descriptors: 6})
		third := r.DialOutlived("")
		r.BackendEnded()
		checkCounts(t, l, receipt.Counts{Descriptors: 6})
		second()
		third()
		checkCounts(t, l, none)
		r.DialOutlived("")() // after the end
		checkCounts(t, l, none)

		r = open(t, l, receipt.Run{Client: "one", Ops: 1, Descriptors: 2})
		r.DialOutlived("")()
		checkCounts(t, l, receipt.Counts{InFlight: 1, Descriptors: 2})
		completes(r)
		checkCounts(t, l, none)
	})
}

// The limits refuse a run while an outlived dial has the descriptors.
func TestOutlivedDialsBoundRuns(t *testing.T) {
	limits := roomy
	limits.Descriptors = 8
	run := receipt.Run{Client: "one", Ops: 1, Descriptors: 2} // a client's share
	l := receipt.NewLedger("lab", 10, limits)
	r := open(t, l, run)
	ended := r.DialOutlived("")
	completes(r)
	if _, err := l.Open(run); !errors.Is(err, receipt.ErrShare) {
		t.Errorf("the run was opened, error %v", err)
	}
	ended()
	completes(open(t, l, run))
	checkCounts(t, l, none)
}

// net/http calls its hooks on any goroutine and at any time.
func TestPhasesFromAnywhere(t *testing.T) {
	bubble(t, func(t *testing.T, l *receipt.Ledger) {
		r := open(t, l, receipt.Run{Ops: 1})
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				for range 50 {
					r.PhaseBegan("http", "dns")(nil)
					r.DialOutlived("")
					_ = r.View()
				}
			})
		}
		opEnds(r)
		r.Answered(receipt.Completed, nil)
		all.Wait()
		if v := r.View(); len(v.Phases) != 400 || v.OutlivedDials != 400 {
			t.Errorf("%d phases, %d dials", len(v.Phases), v.OutlivedDials)
		}
	})
}
