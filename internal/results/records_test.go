package results_test

import (
	"bytes"
	"testing"

	"gotimeout/internal/results"
)

func known(v float64) *float64 { return &v }
func count(n int) *int         { return &n }

func aRun() *results.Run { return &results.Run{Type: results.TypeRun, Format: results.Format} }

func aCell(number int) *results.Cell {
	return &results.Cell{
		Type: results.TypeCell, Cell: number, Strategy: "context-cancel", Op: "db", Ctx: "aware",
		Network: "none", Driver: "none", Timeout: 250, Delays: []float64{10, 1000}, Nominal: []float64{12, 1002}, Repeat: 1,
	}
}

func aRequest(delay float64, status string, answered, late float64) *results.Request {
	return &results.Request{
		Type: results.TypeRequest, Cell: 1, Phase: results.Load,
		Delay: delay, Status: status, Answered: answered, Late: late,
	}
}

func aReceipt(status string, started float64) *results.Receipt {
	return &results.Receipt{
		Type: results.TypeReceipt, Cell: 1, Phase: results.Load,
		Complete: true, Status: status, Delay: 10, Started: started,
	}
}

func anEnd() *results.End {
	return &results.End{Type: results.TypeEnd, Cell: 1, Answered: 1000, Drained: 1500}
}

// planted is a comparison of a cell in which every column has something to show.
func planted() []any {
	request := func(phase, code string, r *results.Request) *results.Request {
		r.Phase, r.Code = phase, code
		return r
	}
	slow, short, open := aReceipt("timed_out", 0), aReceipt("timed_out", 100), aReceipt("completed", 300)
	slow.Delay, slow.Answered, slow.Dialed, slow.RST = 1000, 250.5, 1, 1
	slow.Ended, slow.Straggle = known(1000), known(749.5)
	slow.BackendEnded, slow.Waste = known(997.5), known(747)
	short.Ended, short.Straggle, short.Waste, short.Dialed = known(251), known(0), known(3), 1
	open.Dialed = 2
	quick := aReceipt("completed", 2000)
	quick.Ended, quick.Straggle, quick.Waste = known(12), known(0), known(0)
	ofProbe := aReceipt("completed", 0)
	ofProbe.Phase, ofProbe.Dialed, ofProbe.Waste = results.Probe, 50, known(9999)

	end := anEnd()
	end.Open, end.Missing = 1, 2
	return []any{
		aRun(), aCell(1),
		&results.Sample{Type: results.TypeSample, Cell: 1, Phase: results.Before, Goroutines: 10, Connections: count(1), TimeWait: count(3)},
		&results.Sample{Type: results.TypeSample, Cell: 1, Phase: results.Load, CPU: 100, Allocated: 1000},
		&results.Sample{Type: results.TypeSample, Cell: 1, Phase: results.Load, CPU: 110, Allocated: 2000},
		aRequest(10, "completed", 12, 0.1),
		aRequest(1000, "timed_out", 250.5, 0.2),
		aRequest(10, "timed_out", 251, 0.3),
		aRequest(1000, "completed", 1003, 0.4),
		request(results.Load, results.WrongAnswer, aRequest(10, "failed", 5, 6)),
		aRequest(10, "refused", 1, 0.5),
		request(results.Probe, "", aRequest(0, "completed", 11, 70)),
		request(results.Probe, "", aRequest(0, "completed", 12, 70)),
		request(results.Probe, results.WrongAnswer, aRequest(0, "failed", 13, 70)),
		slow, short, open, quick, ofProbe,
		&results.Sample{Type: results.TypeSample, Cell: 1, Phase: results.Answered, Goroutines: 17, Connections: count(9), TimeWait: count(4)},
		&results.Sample{Type: results.TypeSample, Cell: 1, Phase: results.Drained, CPU: 130, Allocated: 7000, TimeWait: count(8)},
		&results.Sample{Type: results.TypeSample, Cell: 1, Phase: results.After, Goroutines: 12, Connections: count(4), TimeWait: count(2)},
		end,
		&results.Done{Type: results.TypeDone},
	}
}

// collect is the live way to results.
func collect(t *testing.T, records ...any) *results.Results {
	t.Helper()
	c := results.NewCollector()
	for _, r := range records {
		if err := c.Add(r); err != nil {
			t.Fatal(err)
		}
	}
	return c.Results()
}

// written is the file of records.
func written(t testing.TB, records ...any) []byte {
	t.Helper()
	var b bytes.Buffer
	w := results.NewWriter(&b)
	for _, r := range records {
		if err := w.Add(r); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}
