package results_test

import (
	"reflect"
	"strings"
	"testing"

	"gotimeout/internal/results"
)

// repeat returns the records of a cell with one request.
func repeat(number int, change func(*results.Cell), answered float64) []any {
	cell := aCell(number)
	cell.Repeat = number
	if change != nil {
		change(cell)
	}
	request, end := aRequest(10, "completed", answered, 0), anEnd()
	request.Cell, end.Cell = number, number
	return []any{cell, request, end}
}

// The figures of a row are the medians of its repeats.
func TestRepeats(t *testing.T) {
	records := []any{aRun()}
	for i, answered := range []float64{30, 10, 50, 20} {
		records = append(records, repeat(i+1, nil, answered)...)
	}
	r := collect(t, records...)
	row := r.Rows[0]
	if len(r.Rows) != 1 || len(row.Repeats) != 4 || *row.Figure("answered_p50_ms") != 25 {
		t.Errorf("%d rows, %d repeats, answered %v", len(r.Rows), len(row.Repeats), text(row.Figure("answered_p50_ms")))
	}
	if !reflect.DeepEqual(row.Answered, []float64{10, 20, 30, 50}) {
		t.Errorf("answered %v", row.Answered)
	}
	if row.Figure("overshoot_p50_ms") != nil {
		t.Error("there is an overshoot, though no request timed out")
	}
}

// A figure that is unknown in some repeats is the median of the other repeats.
func TestRepeatsThatDontKnow(t *testing.T) {
	records := append([]any{aRun()}, repeat(1, nil, 10)...)
	for i, answered := range []float64{270, 260, 290} {
		cell := repeat(i+2, nil, answered)
		cell[1].(*results.Request).Status = "timed_out"
		records = append(records, cell...)
	}
	if got := collect(t, records...).Rows[0].Figure("overshoot_p50_ms"); got == nil || *got != 20 {
		t.Errorf("%v, want 20", text(got))
	}
}

// Two rows differ in strategy, op, ctx, network or timeout. A group has the rows that
// differ only in the strategy. The floor is no row of a group: each group has the floor of
// its op.
func TestGroups(t *testing.T) {
	records := []any{aRun()}
	for i, change := range []func(*results.Cell){
		func(c *results.Cell) { c.Floor, c.Strategy = true, results.FloorName },
		nil,
		func(c *results.Cell) { c.Strategy = "errgroup" },
		func(c *results.Cell) { c.Op = "http" },
		func(c *results.Cell) { c.Ctx = "deaf" },
		func(c *results.Cell) { c.Network = "3g" },
		func(c *results.Cell) { c.Timeout = 100 },
		func(c *results.Cell) { c.Strategy = "errgroup" },
	} {
		records = append(records, repeat(i+1, change, 100)...)
	}
	r := collect(t, records...)
	if len(r.Rows) != 7 {
		t.Errorf("%d rows", len(r.Rows))
	}
	var got []string
	for _, g := range r.Groups() {
		text := g.Op + " " + g.Ctx + " " + g.Network + ":"
		for _, row := range g.Rows {
			text += " " + row.Strategy
		}
		if g.Floor != nil {
			text += ", " + g.Floor.Strategy
		}
		got = append(got, text)
	}
	want := []string{
		"db aware none: context-cancel errgroup, floor", "http aware none: context-cancel",
		"db deaf none: context-cancel, floor", "db aware 3g: context-cancel, floor", "db aware none: context-cancel, floor",
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

// The calls of the floor end in time. Its overshoot is the time that the machine added,
// and no call is late.
func TestFloor(t *testing.T) {
	records := append([]any{aRun()}, repeat(1, func(c *results.Cell) { c.Floor = true }, 400)...)
	r := collect(t, append(records, repeat(2, nil, 10)...)...)
	if len(r.Rows) != 2 {
		t.Fatalf("%d rows, want the floor and a strategy", len(r.Rows))
	}
	row := r.Rows[0]
	if got := row.Figure("overshoot_p50_ms"); got == nil || *got != 390 {
		t.Errorf("overshoot %v, want 390", text(got))
	}
	if got := row.Figure("late"); got == nil || *got != 0 {
		t.Errorf("late %v, want 0", text(got))
	}
}

func TestNotes(t *testing.T) {
	first, second := repeat(1, nil, 10), repeat(2, nil, 10)
	*first[2].(*results.End) = results.End{Type: results.TypeEnd, Cell: 1, Open: 4, Missing: 5}
	*second[2].(*results.End) = results.End{Type: results.TypeEnd, Cell: 2, Interrupted: true}
	failed := []any{repeat(3, nil, 0)[0], &results.End{Type: results.TypeEnd, Cell: 3, Error: "the lab is gone"}}
	r := collect(t, append(append(append([]any{aRun()}, first...), second...), failed...)...)
	want := []string{
		"4 runs still went on when the wait for them was over", "5 receipts were no longer in the lab's ledger: late, straggle, waste and connections are of the others",
		"repeat 2: interrupted: the figures are of the requests until then", "repeat 3: the lab is gone",
	}
	if got := r.Rows[0].Notes; !reflect.DeepEqual(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if n := len(r.Rows[0].Repeats); n != 2 {
		t.Errorf("%d repeats, want 2: the third had no request", n)
	}
}

// The notes name requests that the lab refused or did not answer, and runs of others.
func TestNotesOfAnswers(t *testing.T) {
	records := []any{aRun(), aCell(1)}
	for _, code := range []string{"too_many_busy", "too_many_in_flight", "too_many_in_flight"} {
		request := aRequest(10, "refused", 1, 0)
		request.Code = code
		records = append(records, request)
	}
	silent, end := aRequest(10, "failed", 9000, 0), anEnd()
	silent.Code, end.Others = results.NoAnswer, 7
	second := repeat(2, nil, 10)
	second[1].(*results.Request).Status, second[1].(*results.Request).Code = "refused", "too_many_busy"
	r := collect(t, append(append(records, silent, end), second...)...)
	want := []string{
		"somebody else made 7 runs on the lab meanwhile: the figures include them", "1 requests had no answer",
		"the lab refused 3 of 4 requests (mostly too_many_in_flight); answered includes them",
		"repeat 2: the lab refused 1 of 1 requests (too_many_busy); answered includes them",
	}
	if got := r.Rows[0].Notes; !reflect.DeepEqual(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

// Slow and Timeline are those of the first repeat.
func TestSlowAndTimeline(t *testing.T) {
	records := append(planted()[:len(planted())-1], repeat(2, nil, 10)...)
	row := collect(t, records...).Rows[0]
	s := row.Slow
	if text(s.Answered) != 250.5 || text(s.Ended) != 1000 || text(s.BackendEnded) != 997.5 {
		t.Errorf("slow %v %v %v", text(s.Answered), text(s.Ended), text(s.BackendEnded))
	}
	if l := row.Timeline; len(l.Samples) != 6 || l.Answered != 1000 || l.Drained != 1500 {
		t.Errorf("timeline %+v", l)
	}
}

// A record that can't follow the earlier ones is refused.
func TestOutOfPlace(t *testing.T) {
	other := aRun()
	other.Format = 2
	bare := aCell(1)
	bare.Delays = nil
	for name, test := range map[string]struct {
		records []any
		want    string
	}{
		"a cell that has not begun": {[]any{aRun(), aRequest(10, "completed", 1, 0)}, "a record is of cell 1, which has not begun or has ended"},
		"a cell that has ended":     {[]any{aRun(), aCell(1), anEnd(), aReceipt("completed", 1)}, "a record is of cell 1, which has not begun or has ended"},
		"a cell twice":              {[]any{aRun(), aCell(1), aCell(1)}, "cell 1 has no delays, or begins twice"},
		"a cell without delays":     {[]any{aRun(), bare}, "cell 1 has no delays, or begins twice"},
		"two comparisons":           {[]any{aRun(), aRun()}, "a second comparison begins here: a file holds one"},
		"another format":            {[]any{other}, "the records are of format 2, this gotimeout reads 1: use the one that wrote them"},
		"no record":                 {[]any{aRun(), "hello"}, "string is no record"},
	} {
		c := results.NewCollector()
		var err error
		for _, r := range test.records {
			err = c.Add(r)
		}
		if err == nil || err.Error() != test.want {
			t.Errorf("%s: %v, want %s", name, err, test.want)
		}
	}
}

func TestNoSuchColumn(t *testing.T) {
	defer func() {
		if v := recover(); v == nil || !strings.Contains(v.(string), "no column overshot") {
			t.Errorf("%v", v)
		}
	}()
	new(results.Row).Figure("overshot")
}
