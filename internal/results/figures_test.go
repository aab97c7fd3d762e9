package results_test

import (
	"math"
	"slices"
	"testing"

	"gotimeout/internal/results"
)

// Each column has the figure that planted has for it.
func TestFigures(t *testing.T) {
	want := map[string]float64{
		"requests":        6,
		"answered_p50_ms": 12, "answered_p99_ms": 1003, "answered_max_ms": 1003,
		"overshoot_p50_ms": 1, "overshoot_p99_ms": 753, "overshoot_max_ms": 753,
		"completed": 2, "timed_out": 2, "failed": 1, "refused": 1,
		"false_timeouts": 1, "late": 1,
		"straggle_p99_ms": 749.5, "waste_s_per_1000": 250, "ran_on_percent": 50,
		"goroutines_answered": 7, "goroutines_left": 2,
		"drain_ms": 500, "open_receipts": 1, // drain_ms has a test below
		"connections_opened": 4, "connections_ideal": 3, "connections_left": 3,
		"rsts": 1, "time_wait": 5, "wrong_answers": 2,
		"probe_failures": 1, "probe_p50_ms": 12, "probe_p99_ms": 13,
		"cpu_us_per_request": 5000, "allocated_bytes_per_request": 1000,
		"sent_late_p99_ms": 6,
	}
	row := collect(t, planted()...).Rows[0]
	if got := row.Figure("drain_ms"); got != nil {
		t.Errorf("drain_ms is %v while work goes on", *got)
	}
	records := planted()
	records[len(records)-2].(*results.End).Open = 0
	drained := collect(t, records...).Rows[0]
	row.Figures[results.DrainTime] = drained.Figures[results.DrainTime]
	for _, c := range results.Columns() {
		got, want := row.Figure(c.Name), want[c.Name]
		if got == nil || *got != want || want == 0 {
			t.Errorf("%s is %v, want %v", c.Name, text(got), want)
		}
	}
}

// The constant of each column is the place of its name.
func TestPlaces(t *testing.T) {
	for name, place := range map[string]int{
		"requests": results.Requests, "answered_max_ms": results.AnsweredMax, "overshoot_p99_ms": results.OvershootP99,
		"refused": results.Refused, "late": results.Late, "ran_on_percent": results.RanOnPercent, "drain_ms": results.DrainTime,
		"connections_left": results.ConnectionsLeft, "wrong_answers": results.WrongAnswers, "sent_late_p99_ms": results.SentLateP99,
	} {
		if got, ok := results.Lookup(name); !ok || got != place {
			t.Errorf("%s is at %d, want %d", name, got, place)
		}
	}
	if n := len(results.Columns()); n != len(results.Figures{}) {
		t.Errorf("%d columns for %d figures", n, len(results.Figures{}))
	}
	if _, ok := results.Lookup("overshoot"); ok {
		t.Error("overshoot is the name of no column")
	}
}

// The percentiles include all requests, also the highest.
func TestPercentiles(t *testing.T) {
	records := []any{aRun(), aCell(1)}
	for i := 200; i > 0; i-- {
		v := float64(i)
		probe := aRequest(0, "completed", v, 0)
		probe.Phase = results.Probe
		receipt := aReceipt("timed_out", v)
		receipt.Straggle = known(v)
		records = append(records, aRequest(1000, "timed_out", 250+v, v), probe, receipt)
	}
	row := collect(t, append(records, anEnd())...).Rows[0]
	for name, want := range map[string]float64{
		"answered_p50_ms": 350, "answered_p99_ms": 448, "answered_max_ms": 450,
		"overshoot_p50_ms": 100, "overshoot_p99_ms": 198, "overshoot_max_ms": 200,
		"straggle_p99_ms": 198, "probe_p50_ms": 100, "probe_p99_ms": 198, "sent_late_p99_ms": 198,
	} {
		if got := row.Figure(name); got == nil || *got != want {
			t.Errorf("%s is %v, want %v", name, text(got), want)
		}
	}
	if len(row.Answered) != 200 || !slices.IsSorted(row.Answered) {
		t.Errorf("%d answers, sorted: %v", len(row.Answered), slices.IsSorted(row.Answered))
	}
}

// Each bounded request that was answered after its timeout has an overshoot, whatever the
// answer was. A request that the load generator sent late has none.
func TestOvershoot(t *testing.T) {
	deaf, failed, refused, lost := aRequest(10, "completed", 2000, 0), aRequest(10, "failed", 260, 0), aRequest(10, "refused", 900, 0), aRequest(10, "failed", 9000, 0)
	lost.Code = results.NoAnswer
	for name, test := range map[string]struct {
		strategy string
		request  *results.Request
		want     *float64
	}{
		"timed out":             {"context-cancel", aRequest(10, "timed_out", 251, 0), known(1)},
		"completed late":        {"context-cancel", deaf, known(1750)},
		"failed late":           {"context-cancel", failed, known(10)},
		"in time":               {"context-cancel", aRequest(10, "completed", 249, 0), nil},
		"refused":               {"context-cancel", refused, nil},
		"without an answer":     {"context-cancel", lost, nil},
		"sent late":             {"context-cancel", aRequest(10, "completed", 300, 100), nil},
		"an unbounded strategy": {"baseline", deaf, nil},
	} {
		cell := aCell(1)
		cell.Strategy = test.strategy
		got := collect(t, aRun(), cell, test.request, anEnd()).Rows[0].Figures[results.OvershootMax]
		if (got == nil) != (test.want == nil) || got != nil && *got != *test.want {
			t.Errorf("%s: %v, want %v", name, text(got), text(test.want))
		}
	}
}

// A figure that nobody measured is nil, and no other figure is.
func TestUnknown(t *testing.T) {
	cell := aCell(1)
	cell.Nominal = nil
	end := anEnd()
	end.Open = 3
	row := collect(t, aRun(), cell, aRequest(10, "completed", 12, 0), end).Rows[0]
	unknown := []string{
		"overshoot_p50_ms", "overshoot_p99_ms", "overshoot_max_ms", "false_timeouts", "late", "straggle_p99_ms", "waste_s_per_1000",
		"ran_on_percent", "goroutines_answered", "goroutines_left", "drain_ms", "connections_opened", "connections_ideal",
		"connections_left", "rsts", "time_wait", "probe_failures", "probe_p50_ms", "probe_p99_ms",
		"cpu_us_per_request", "allocated_bytes_per_request",
	}
	for _, c := range results.Columns() {
		if got, want := row.Figure(c.Name), slices.Contains(unknown, c.Name); (got == nil) != want {
			t.Errorf("%s is %v, unknown: %v", c.Name, text(got), want)
		}
	}
	if s := row.Slow; s.Answered != nil || s.Ended != nil || s.BackendEnded != nil {
		t.Errorf("%+v for the longest delay, which has no receipt", s)
	}
}

// Up to 5 ms after the timeout are not late, and up to 5 ms of work after the answer don't count
// as work that ran on: the machine itself may add so much.
func TestNoise(t *testing.T) {
	within, beyond := aReceipt("timed_out", 0), aReceipt("timed_out", 0)
	within.Waste, beyond.Waste = known(5), known(5.1)
	inTime, tooLate := aReceipt("completed", 0), aReceipt("completed", 0)
	inTime.Answered, tooLate.Answered = 255, 255.1
	row := collect(t, aRun(), aCell(1), aRequest(10, "completed", 255, 0), aRequest(10, "completed", 255.1, 0),
		within, beyond, inTime, tooLate, anEnd()).Rows[0]
	if late, ranOn := text(row.Figure("late")), text(row.Figure("ran_on_percent")); late != 1 || ranOn != 50 {
		t.Errorf("%v late, %v%% ran on; want 1 and 50", late, ranOn)
	}
}

// A request that only the load generator or the machine delayed is not late: by the
// lab's clock it was answered in time. Without a receipt lateness is unknown.
func TestLateByTheReceipt(t *testing.T) {
	receipt := aReceipt("completed", 0)
	receipt.Answered = 97
	row := collect(t, aRun(), aCell(1), aRequest(10, "completed", 400, 0), receipt, anEnd()).Rows[0]
	if got := text(row.Figure("late")); got != 0 {
		t.Errorf("%v late, though the lab answered after 97 ms", got)
	}
	row = collect(t, aRun(), aCell(1), aRequest(10, "completed", 400, 0), anEnd()).Rows[0]
	if got := row.Figure("late"); got != nil {
		t.Errorf("%v late for a request without a receipt", *got)
	}
}

// The ideal is never above the number opened. A run ends a little after it gives its
// connection back, and the next run may already use that connection.
func TestIdealIsNoMoreThanThereWere(t *testing.T) {
	run := func(started float64, dialed int) *results.Receipt {
		r := aReceipt("completed", started)
		r.Ended, r.Dialed, r.Reused = known(10), dialed, 1-dialed
		return r
	}
	before := &results.Sample{Type: results.TypeSample, Cell: 1, Phase: results.Before, Connections: count(0)}
	row := collect(t, aRun(), aCell(1), before, aRequest(10, "completed", 12, 0), run(0, 1), run(9.9, 0), anEnd()).Rows[0]
	if opened, ideal := text(row.Figure("connections_opened")), text(row.Figure("connections_ideal")); opened != 1 || ideal != 1 {
		t.Errorf("%v opened, ideal %v; want 1 and 1", opened, ideal)
	}
}

// A cell that ends with fewer goroutines and connections than before has left none behind.
func TestLessThanBefore(t *testing.T) {
	sample := func(phase string, n int) *results.Sample {
		return &results.Sample{Type: results.TypeSample, Cell: 1, Phase: phase, Goroutines: n, Connections: count(n), TimeWait: count(n)}
	}
	row := collect(t, aRun(), aCell(1), sample(results.Before, 9), aRequest(10, "completed", 12, 0),
		sample(results.Answered, 8), sample(results.Drained, 8), sample(results.After, 7), anEnd()).Rows[0]
	for _, name := range []string{"goroutines_answered", "goroutines_left", "connections_left"} {
		if got := row.Figure(name); got == nil || *got != 0 {
			t.Errorf("%s is %v, want 0", name, text(got))
		}
	}
	if got := row.Figure("time_wait"); got != nil {
		t.Errorf("time_wait is %v, want unknown: sockets of an earlier cell left TIME-WAIT meanwhile", *got)
	}
}

// A lab that died has no figures of the work that went on.
func TestLabGone(t *testing.T) {
	end := anEnd()
	end.Error = "the lab is gone"
	row := collect(t, aRun(), aCell(1), aRequest(10, "completed", 12, 0), end).Rows[0]
	for _, name := range []string{"drain_ms", "open_receipts"} {
		if got := row.Figure(name); got != nil {
			t.Errorf("%s is %v", name, *got)
		}
	}
}

// A request without an answer counts as failed, and its time counts.
func TestNoAnswer(t *testing.T) {
	request := aRequest(10, "failed", 9000, 0)
	request.Code = results.NoAnswer
	row := collect(t, aRun(), aCell(1), request, anEnd()).Rows[0]
	if failed, answered := text(row.Figure("failed")), text(row.Figure("answered_max_ms")); failed != 1 || answered != 9000 {
		t.Errorf("%v failed, answered %v", failed, answered)
	}
}

// A call that takes exactly the timeout can't end in time.
func TestFalseTimeouts(t *testing.T) {
	for nominal, want := range map[float64]float64{249.9: 1, 250: 0, 251: 0} {
		cell := aCell(1)
		cell.Nominal[0] = nominal
		row := collect(t, aRun(), cell, aRequest(10, "timed_out", 251, 0), anEnd()).Rows[0]
		if got := text(row.Figure("false_timeouts")); got != want {
			t.Errorf("%v for a call of %v ms, want %v", got, nominal, want)
		}
	}
}

// Of the warm-up only the connections count.
func TestWarmUp(t *testing.T) {
	warm, load := aReceipt("timed_out", -100), aReceipt("timed_out", 0)
	warm.Phase, warm.Dialed, warm.RST = results.WarmUp, 3, 7
	warm.Ended, warm.Straggle, warm.Waste = known(150), known(1000), known(1000)
	load.Ended, load.Straggle, load.Waste = known(10), known(1), known(1)
	load.Reused = 1
	row := collect(t, aRun(), aCell(1), aRequest(10, "timed_out", 251, 0), warm, load, anEnd()).Rows[0]
	for name, want := range map[string]float64{
		"connections_opened": 3, "connections_ideal": 2, "rsts": 7, "straggle_p99_ms": 1, "waste_s_per_1000": 1, "ran_on_percent": 0,
	} {
		if got := row.Figure(name); got == nil || *got != want {
			t.Errorf("%s is %v, want %v", name, text(got), want)
		}
	}
}

// Two runs need one connection if one begins as the other ends. A run that never had a
// connection needs none.
func TestConnectionsIdeal(t *testing.T) {
	run := func(started, ended float64, used int) *results.Receipt {
		r := aReceipt("completed", started)
		r.Ended, r.Reused = known(ended), used
		return r
	}
	busy := []any{run(20, 10, 1), run(10, 10, 1), run(0, 10, 1), run(5, 10, 1), run(5, 10, 0)}
	for name, test := range map[string]struct {
		op   string
		runs []any
		want *float64
	}{
		"one call a run":      {"db", busy, known(2)},
		"several calls a run": {"all", busy, nil},
		"without connections": {"cpu", []any{run(0, 10, 0)}, nil},
	} {
		cell := aCell(1)
		cell.Op = test.op
		records := append([]any{aRun(), cell, aRequest(10, "completed", 12, 0)}, test.runs...)
		row := collect(t, append(records, anEnd())...).Rows[0]
		got := row.Figure("connections_ideal")
		if (got == nil) != (test.want == nil) || got != nil && *got != *test.want {
			t.Errorf("%s: %v, want %v", name, text(got), text(test.want))
		}
		if got := row.Figure("connections_opened"); got == nil || *got != 0 {
			t.Errorf("%s: opened %v, want 0", name, text(got))
		}
	}
}

func text(v *float64) float64 {
	if v == nil {
		return math.NaN()
	}
	return *v
}
