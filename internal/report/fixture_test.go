package report_test

import (
	"cmp"
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gotimeout/internal/machine"
	"gotimeout/internal/results"
)

var update = flag.Bool("update", false, "write the golden files")

// golden compares with a file.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs (go test -update writes it):\n%s", path, got)
	}
}

// narrow finds lines that a terminal would break.
func narrow(t *testing.T, text string) {
	t.Helper()
	for _, line := range strings.Split(text, "\n") {
		if len([]rune(line)) > 80 {
			t.Errorf("wider than 80 columns: %s", line)
		}
	}
}

func aRun() results.Run {
	m := machine.Machine{
		OS: "linux/amd64", Kernel: "6.18.0", CPU: "AMD EPYC", Processors: 2, Go: "go1.26.8", Version: "v1.2.0",
		Modules: map[string]string{"github.com/go-sql-driver/mysql": "v1.10.1"},
	}
	return results.Run{
		Type: results.TypeRun, Format: results.Format, Started: time.Date(2026, 11, 21, 6, 56, 0, 0, time.UTC),
		Command: "gotimeout compare --fail-if 'late > 0'", Rate: 200, Duration: 2000, WarmUp: 500, Repeat: 1, Probes: 20,
		Machine: m, Lab: m, TCP: map[string]string{"tcp_tw_reuse": "2"},
	}
}

// fixture is a comparison of made-up cells.
type fixture struct {
	t         *testing.T
	collector *results.Collector
	cells     int
}

func newFixture(t *testing.T, run results.Run) *fixture {
	f := &fixture{t: t, collector: results.NewCollector()}
	f.add(&run)
	return f
}

func (f *fixture) add(record any) {
	f.t.Helper()
	if err := f.collector.Add(record); err != nil {
		f.t.Fatal(err)
	}
}

// cellPlan is what of a cell there is to make up.
type cellPlan struct {
	strategy, op, network string
	repeat, requests      int // 1 and 40 unless they are set
	floor, unseen         bool
	unconnected           bool
	overshoot             float64 // of every fourth request; negative: it completed, late
	sentLate              float64
	end                   results.End
}

// cell makes the requests of one.
func (f *fixture) cell(m cellPlan) {
	f.cells++
	c := results.Cell{
		Cell: f.cells, Strategy: m.strategy, Op: m.op, Ctx: "aware", Network: m.network, Driver: "none", Timeout: 250,
		Delays: []float64{10, 10, 10, 1000}, Nominal: []float64{11, 11, 11, 1001}, Repeat: max(1, m.repeat), Floor: m.floor,
	}
	trip := 300.25
	if m.network != "none" {
		c.Driver, c.RoundTrip = "tun", &trip
	}
	f.add(&c)
	sample := func(phase string, n int) {
		f.add(&results.Sample{
			Cell: f.cells, Phase: phase, Goroutines: 20 + n, Connections: &n, TimeWait: &n,
			CPU: float64(n), Allocated: uint64(40_000 * n),
		})
	}
	sample(results.Before, 0)
	sample(results.Load, 0)
	for i := range cmp.Or(m.requests, 40) {
		f.call(m, i, c.Delays[i%4])
	}
	sample(results.Answered, 10)
	sample(results.Drained, 8)
	for i := range 5 {
		f.add(&results.Request{Cell: f.cells, Phase: results.Probe, Answered: 10 + float64(i), Status: "completed"})
	}
	sample(results.After, 2)
	m.end.Cell, m.end.Answered, m.end.Drained = f.cells, 500, 1250.5
	f.add(&m.end)
}

// call is a request and its receipt.
func (f *fixture) call(m cellPlan, i int, delay float64) {
	if m.floor {
		delay = 10
	}
	answered, status, waste := delay+0.1*float64(i), "completed", 0.0
	switch {
	case delay > 250 && m.overshoot >= 0:
		answered, status, waste = 250+m.overshoot, "timed_out", 750-m.overshoot
	case delay > 250:
		answered = delay + 1
	}
	f.add(&results.Request{
		Cell: f.cells, Phase: results.Load, At: 5 * float64(i), Late: m.sentLate,
		Answered: answered, Delay: delay, Status: status,
	})
	ended := answered + waste
	receipt := results.Receipt{
		Cell: f.cells, Phase: results.Load, Complete: true, Status: status, Delay: delay,
		Started: 5 * float64(i), Answered: answered, Ended: &ended, Straggle: &waste, Dialed: i % 2, Reused: 1 - i%2,
	}
	if m.unconnected {
		receipt.Dialed, receipt.Reused = 0, 0
	}
	if !m.unseen {
		receipt.BackendEnded, receipt.Waste = &ended, &waste
	}
	f.add(&receipt)
}

// small is a comparison with a bit of everything.
func small(t *testing.T) *results.Results {
	f := newFixture(t, aRun())
	f.cell(cellPlan{strategy: results.FloorName, op: "db", network: "none", floor: true})
	f.cell(cellPlan{strategy: "baseline", op: "db", network: "none", overshoot: -1})
	f.cell(cellPlan{strategy: "goroutine-abandon", op: "db", network: "none", overshoot: 0.4})
	f.cell(cellPlan{strategy: "context-cancel", op: "db", network: "none", overshoot: 61.2, unseen: true})
	f.cell(cellPlan{strategy: "context-cancel", op: "http", network: "3g", overshoot: 1.5, requests: 100, sentLate: 7.5, end: results.End{Open: 3}})
	f.add(&results.Cell{Cell: 6, Strategy: "errgroup", Op: "http", Ctx: "aware", Network: "3g", Driver: "tun", Timeout: 250, Delays: []float64{10}})
	f.add(&results.End{Cell: 6, Error: "the lab refused: it has 8192 runs of which something still goes on"})
	f.add(&results.Done{Interrupted: true})
	return f.collector.Results()
}

func text(t *testing.T, r *results.Results, write func(io.Writer, *results.Results) error) string {
	t.Helper()
	var b strings.Builder
	if err := write(&b, r); err != nil {
		t.Fatal(err)
	}
	return b.String()
}
