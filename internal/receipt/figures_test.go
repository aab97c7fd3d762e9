package receipt_test

import (
	"encoding/json"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"gotimeout/internal/receipt"
)

const (
	hour = time.Hour
	work = 5 * time.Hour
)

// seen is a run of one op with a timeout of an hour and one backend, which reports.
var seen = receipt.Run{Timeout: hour, Ops: 1, Backends: 1, Seen: true}

func with(run receipt.Run, change func(*receipt.Run)) receipt.Run {
	change(&run)
	return run
}

// A case wants the figures answered, overshoot, ended, straggle, backend ended and
// waste, in milliseconds.
func TestFigures(t *testing.T) {
	three := with(seen, func(r *receipt.Run) { r.Ops, r.Backends = 3, 3 })
	unseen := with(seen, func(r *receipt.Run) { r.Backends, r.Seen = 0, false })
	for name, tc := range map[string]struct {
		run   receipt.Run
		steps []step
		want  string
	}{
		"just opened":      {seen, nil, "- - - - - -"},
		"backend began":    {seen, []step{{0, began}}, "- - - - - -"},
		"op ended":         {seen, []step{{hour, opEnds}}, "- - 3600000 - - -"},
		"both, unanswered": {seen, []step{{0, began}, {hour, ended}, {hour, opEnds}}, "- - 3600000 - - -"},
		"completed in time": {seen,
			[]step{{0, began}, {hour / 4, ended}, {hour / 2, opEnds}, {hour - time.Second, answer(receipt.Completed)}},
			"3599000 - 1800000 0 900000 0"},
		"completed late": {seen,
			[]step{{0, began}, {work, ended}, {work, opEnds}, {work, answer(receipt.Completed)}},
			"18000000 14400000 18000000 0 18000000 0"},
		"completed late without a bound": {with(seen, func(r *receipt.Run) { r.Unbounded = true }),
			[]step{{0, began}, {work, ended}, {work, opEnds}, {work, answer(receipt.Completed)}},
			"18000000 - 18000000 0 18000000 0"},
		"failed late": {seen,
			[]step{{0, began}, {work, ended}, {work, opEnds}, {work, answer(receipt.Failed)}},
			"18000000 14400000 18000000 0 18000000 0"},
		"failed in time": {seen,
			[]step{{0, began}, {hour / 2, ended}, {hour / 2, opEnds}, {hour / 2, answer(receipt.Failed)}},
			"1800000 - 1800000 0 1800000 0"},
		"timed out on time": {seen,
			[]step{{0, began}, {hour, opEnds}, {hour, answer(receipt.TimedOut)}, {hour, ended}},
			"3600000 0 3600000 0 3600000 0"},
		"timed out late": {seen,
			[]step{{0, began}, {work, ended}, {work, opEnds}, {work, answer(receipt.TimedOut)}},
			"18000000 14400000 18000000 0 18000000 0"},
		"cut before the timeout": {seen,
			[]step{{0, began}, {hour - time.Second, ended}, {hour - time.Second, opEnds}, {hour - time.Second, answer(receipt.TimedOut)}},
			"3599000 - 3599000 0 3599000 0"},
		"abandoned, all goes on": {seen,
			[]step{{0, began}, {hour, answer(receipt.TimedOut)}},
			"3600000 0 - - - -"},
		"abandoned, the backend goes on": {seen,
			[]step{{0, began}, {hour, answer(receipt.TimedOut)}, {2 * hour, opEnds}},
			"3600000 0 7200000 3600000 - -"},
		"abandoned, the op goes on": {seen,
			[]step{{0, began}, {hour, answer(receipt.TimedOut)}, {2 * hour, ended}},
			"3600000 0 - - - -"},
		"abandoned, all ended": {seen,
			[]step{{0, began}, {hour, answer(receipt.TimedOut)}, {2 * hour, opEnds}, {work, ended}},
			"3600000 0 7200000 3600000 18000000 14400000"},
		"the backend never began": {seen,
			[]step{{hour, opEnds}, {hour, answer(receipt.TimedOut)}, {work, func(*receipt.Receipt) {}}},
			"3600000 0 3600000 0 - -"},
		"a backend that cannot be seen": {unseen,
			[]step{{hour, opEnds}, {hour, answer(receipt.TimedOut)}},
			"3600000 0 3600000 0 - -"},
		"one backend can be seen and one cannot": {with(unseen, func(r *receipt.Run) { r.Backends = 1 }),
			[]step{{0, began}, {hour, ended}, {hour, opEnds}, {hour, answer(receipt.TimedOut)}},
			"3600000 0 3600000 0 - -"},
		"a backend lost from sight": {seen,
			[]step{{0, began}, {hour, opEnds}, {hour, answer(receipt.TimedOut)}, {2 * hour, lost}},
			"3600000 0 3600000 0 - -"},
		"one lost, one not": {three,
			[]step{{0, began}, {0, began}, {0, began}, {1, lost}, {2, ended}, {2, ended}, {3, opEnds}, {3, opEnds}, {3, opEnds}, {hour, answer(receipt.TimedOut)}},
			"3600000 0 0 0 - -"},
		"three, the last counts": {three,
			[]step{{0, began}, {0, began}, {0, began}, {hour, answer(receipt.TimedOut)},
				{2 * hour, opEnds}, {2 * hour, ended}, {3 * hour, opEnds}, {4 * hour, opEnds}, {5 * hour, ended}, {6 * hour, ended}},
			"3600000 0 14400000 10800000 21600000 18000000"},
		"three, one goes on": {three,
			[]step{{0, began}, {0, began}, {0, began}, {hour, answer(receipt.TimedOut)}, {2 * hour, opEnds}, {2 * hour, ended}, {3 * hour, opEnds}},
			"3600000 0 - - - -"},
		"three, the last may still begin": {three,
			[]step{{0, began}, {0, began}, {1, ended}, {1, ended}, {hour, opEnds}, {hour, opEnds}, {hour, opEnds}, {hour, answer(receipt.TimedOut)}},
			"3600000 0 3600000 0 - -"},
		"to the microsecond": {seen,
			[]step{{0, began}, {1_234_499, opEnds}, {hour + 1_234_500, answer(receipt.TimedOut)}, {hour + 1_235_501, ended}},
			"3600001.235 1.235 1.234 0 3600001.236 0.001"},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, l *receipt.Ledger) {
				if got := figures(play(t, l, tc.run, tc.steps...).View()); got != tc.want {
					t.Errorf("figures %s, want %s", got, tc.want)
				}
			})
		})
	}
}

// The goroutines left behind are counted at the answer, and no later event changes their
// number.
func TestGoroutinesLeft(t *testing.T) {
	bubble(t, func(t *testing.T, l *receipt.Ledger) {
		run := receipt.Run{Ops: 3}
		r := play(t, l, run, step{hour, opEnds})
		if got := r.View().Goroutines; got != 0 {
			t.Errorf("%d left before the answer, want 0: their number is not known yet", got)
		}
		r.Answered(receipt.TimedOut, nil)
		opEnds(r)
		opEnds(r)
		if got := r.View().Goroutines; got != 2 {
			t.Errorf("%d left, want the 2 goroutines that went on at the answer", got)
		}
		completed := play(t, l, receipt.Run{Ops: 1}, step{hour, completes})
		if got := completed.View().Goroutines; got != 0 {
			t.Errorf("%d left of a completed run, want 0", got)
		}
	})
}

// The keys of the JSON are the words of the design.
func TestViewJSON(t *testing.T) {
	bubble(t, func(t *testing.T, l *receipt.Ledger) {
		r := play(t, l, receipt.Run{
			Name: "context-cancel", Family: "around the call", Slow: "db", Ctx: "aware", Work: "cpu", Backend: "deaf",
			Delay: work, Timeout: hour, Ops: 1, Backends: 1, Seen: true,
		}, step{0, began}, step{hour, opEnds})
		r.ConnDialed()
		r.ConnReused()
		r.ConnReused()
		r.ConnKept()
		r.ConnClosed("fin_by_us", netip.AddrPort{}, netip.AddrPort{})
		r.Answered(receipt.TimedOut, &receipt.Error{Code: "timed_out", Message: "no answer within 1h0m0s"})
		time.Sleep(work - hour)
		r.BackendEnded()
		checkJSON(t, r.View(), `{"id":"lab-1","complete":true,"name":"context-cancel","family":"around the call","slow":"db",`+
			`"ctx":"aware","work":"cpu","backend":"deaf","network":null,"delay":"5h0m0s","timeout":"1h0m0s","started":"2000-01-01T00:00:00Z",`+
			`"status":"timed_out","error":{"code":"timed_out","message":"no answer within 1h0m0s"},`+
			`"answered_ms":3600000,"overshoot_ms":0,"ended_ms":3600000,"straggle_ms":0,"backend_ended_ms":18000000,"waste_ms":14400000,`+
			`"goroutines_left":0,"connections":{"dialed":1,"reused":2,"kept":1,"closed":1,"fin_by_us":1,"fin_by_peer":0,"rst":0,"unknown":0}}`)

		checkJSON(t, open(t, l, receipt.Run{Name: "baseline", Ops: 1}).View(), `{"id":"lab-2","complete":false,"name":"baseline",`+
			`"family":"","slow":"","ctx":"","network":null,"delay":"0s","timeout":"0s","started":"2000-01-01T05:00:00Z","status":null,`+
			`"answered_ms":null,"overshoot_ms":null,"ended_ms":null,"straggle_ms":null,"backend_ended_ms":null,"waste_ms":null,`+
			`"goroutines_left":0,"connections":{"dialed":0,"reused":0,"kept":0,"closed":0,"fin_by_us":0,"fin_by_peer":0,"rst":0,"unknown":0}}`)
	})
}

func checkJSON(t *testing.T, v any, want string) {
	t.Helper()
	got, err := json.Marshal(v)
	if err != nil || string(got) != want {
		t.Errorf("JSON (%v)\n%s, want\n%s", err, got, want)
	}
}

// A later event doesn't change a view.
func TestViewIsACopy(t *testing.T) {
	bubble(t, func(t *testing.T, l *receipt.Ledger) {
		r := play(t, l, seen, step{hour, answer(receipt.TimedOut)})
		before := r.View()
		opEnds(r)
		began(r)
		ended(r)
		if before.Complete || figures(before) != "3600000 0 - - - -" {
			t.Errorf("the view changed to %s, complete %t", figures(before), before.Complete)
		}
	})
}

// settling is how long a receipt waits for a backend that has not begun.
const settling = 25 * time.Millisecond

// A receipt is complete when the run is answered and the last op and the last backend
// have ended. The receipt waits at most settling for a backend to begin.
func TestCompleteAt(t *testing.T) {
	three := receipt.Run{Ops: 3, Backends: 3, Seen: true}
	for name, tc := range map[string]struct {
		run   receipt.Run
		steps []step
		want  time.Duration
	}{
		"at the answer":       {seen, []step{{0, began}, {1, ended}, {2, opEnds}, {hour, answer(receipt.Completed)}}, hour},
		"with the op":         {seen, []step{{0, began}, {1, ended}, {hour, answer(receipt.TimedOut)}, {work, opEnds}}, work},
		"with the backend":    {seen, []step{{0, began}, {hour, answer(receipt.TimedOut)}, {hour, opEnds}, {work, ended}}, work},
		"with a lost backend": {seen, []step{{0, began}, {hour, answer(receipt.TimedOut)}, {hour, opEnds}, {work, lost}}, work},
		"no backend reports":  {receipt.Run{Ops: 1}, []step{{hour, opEnds}, {hour, answer(receipt.TimedOut)}}, hour},
		"never began":         {seen, []step{{hour, opEnds}, {hour, answer(receipt.TimedOut)}}, hour + settling},
		"never began, deaf":   {seen, []step{{hour, answer(receipt.TimedOut)}, {work, opEnds}}, work + settling},
		"began in time": {seen,
			[]step{{hour, opEnds}, {hour, answer(receipt.TimedOut)}, {hour + settling - 1, began}, {work, ended}}, work},
		"began and ended in time": {seen,
			[]step{{hour, opEnds}, {hour, answer(receipt.TimedOut)}, {hour + 1, began}, {hour + 2, ended}}, hour + 2},
		"the last op of three": {three,
			[]step{{0, began}, {0, began}, {0, began}, {1, ended}, {1, ended}, {1, ended},
				{1, opEnds}, {2, opEnds}, {hour, answer(receipt.TimedOut)}, {work, opEnds}}, work},
		"the last backend of three": {three,
			[]step{{0, began}, {0, began}, {0, began}, {1, opEnds}, {1, opEnds}, {1, opEnds},
				{1, ended}, {hour, answer(receipt.TimedOut)}, {2 * hour, ended}, {work, ended}}, work},
		"the third never began": {three,
			[]step{{0, began}, {0, began}, {1, opEnds}, {1, opEnds}, {1, opEnds},
				{hour, answer(receipt.TimedOut)}, {2 * hour, ended}, {work, ended}}, work + settling},
		"the third began while settling": {three,
			[]step{{0, began}, {0, began}, {1, ended}, {1, ended}, {1, opEnds}, {1, opEnds}, {1, opEnds},
				{hour, answer(receipt.TimedOut)}, {hour + 20*time.Millisecond, began}, {work, ended}}, work},
		"one settling for all": {three,
			[]step{{0, began}, {1, ended}, {1, opEnds}, {1, opEnds}, {1, opEnds}, {hour, answer(receipt.TimedOut)},
				{hour + 10*time.Millisecond, began}, {hour + 20*time.Millisecond, ended}}, hour + settling},
		"more began than were announced": {seen,
			[]step{{0, began}, {0, began}, {1, ended}, {hour, opEnds}, {hour, answer(receipt.TimedOut)}, {work, ended}}, work},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, l *receipt.Ledger) {
				start := time.Now()
				played := make(chan *receipt.Receipt)
				go func() { played <- play(t, l, tc.run, tc.steps...) }()
				synctest.Wait() // until it is open
				l.Get("lab-1").Wait(t.Context())
				if got := time.Since(start); got != tc.want {
					t.Errorf("complete at %v, want %v", got, tc.want)
				}
				time.Sleep(hour) // during which nothing may complete the receipt again
				checkComplete(t, <-played, true)
				checkCounts(t, l, none)
			})
		})
	}
}

// A request arrives at a backend after the receipt was complete. The receipt is open
// again, and its figures are those of the late backend.
func TestLateBackendReopens(t *testing.T) {
	bubble(t, func(t *testing.T, l *receipt.Ledger) {
		run := with(seen, func(r *receipt.Run) { r.Busy = true })
		r := play(t, l, run, step{hour, opEnds}, step{hour, answer(receipt.TimedOut)})
		r.Wait(t.Context())
		checkComplete(t, r, true)
		checkCounts(t, l, none)

		time.Sleep(hour - settling)
		r.BackendBegan()
		checkComplete(t, r, false)
		checkCounts(t, l, receipt.Counts{Abandoned: 1, Busy: 1})
		if got := figures(r.View()); got != "3600000 0 3600000 0 - -" {
			t.Errorf("figures %s while the late backend works", got)
		}

		time.AfterFunc(hour, r.BackendEnded)
		r.Wait(t.Context())
		checkComplete(t, r, true)
		checkCounts(t, l, none)
		if got := figures(r.View()); got != "3600000 0 3600000 0 10800000 7200000" {
			t.Errorf("figures %s, want a backend that ended at 3h", got)
		}
	})
}

// A receipt that is opened again is counted again, once each time.
func TestReopensOftenAndTwiceAtOnce(t *testing.T) {
	bubble(t, func(t *testing.T, l *receipt.Ledger) {
		r := play(t, l, receipt.Run{Ops: 1, Seen: true}, step{hour, completes})
		for i := range 3 {
			r.BackendBegan()
			r.BackendBegan()
			checkCounts(t, l, receipt.Counts{Abandoned: 1})
			r.BackendEnded()
			checkComplete(t, r, false)
			r.BackendEnded()
			checkComplete(t, r, true)
			checkCounts(t, l, none)
			if t.Failed() {
				t.Fatalf("in round %d", i)
			}
		}
	})
}

// An op that panics has ended.
func TestWrapCountsAPanic(t *testing.T) {
	bubble(t, func(t *testing.T, l *receipt.Ledger) {
		r := open(t, l, receipt.Run{Ops: 1})
		r.Answered(receipt.TimedOut, nil)
		func() {
			defer func() {
				if v := recover(); v != "boom" {
					t.Errorf("panic %v, want the op's panic to go on", v)
				}
			}()
			_ = r.Wrap(panics)(t.Context())
		}()
		checkComplete(t, r, true)
		checkCounts(t, l, none)
	})
}
