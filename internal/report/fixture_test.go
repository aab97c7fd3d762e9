package report_test

import (
	"cmp"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"gotimeout/internal/machine"
	"gotimeout/internal/results"
)

// checkWidth checks that no line is wider than a terminal of 80 columns.
func checkWidth(t *testing.T, text string) {
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

// cellPlan describes a made-up cell.
type cellPlan struct {
	strategy, op, network string
	repeat, requests      int // 1 and 40 unless they are set
	floor, unseen         bool
	unconnected           bool
	overshoot             float64 // of every fourth request; negative: the request completed late
	sentLate              float64
	end                   results.End
}

// cell adds the records of a cell.
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

// call adds a request and its receipt.
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

// small is a short comparison with each kind of row and note.
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

// scenario describes a made-up comparison: the behaviour of its strategies, and a flaw for some
// cells.
type scenario struct {
	strategies []string
	ops        []string
	networks   []string
	calls      int
	clean      bool            // every strategy ends all work with its answer
	fault      map[string]flaw // by strategy/op
	unfinished bool
}

// flaw is the difference of a cell to the usual behaviour of its strategy.
type flaw struct {
	wrong, probeFailures, goroutines, connections, timeWait int
	late, falseTimeouts, failed, refused, dialed            int
	overshoot, sentLate, probeTime                          float64
	lateAnswers                                             int // timed-out calls: the first are answered 80 ms late
	open                                                    int
	unseen, ranOn                                           int     // timed-out calls: the first are unseen, the last run on
	outlast                                                 float64 // how long the backend works after the answer of a call that ran on
	error                                                   string
}

func usual() scenario {
	return scenario{
		strategies: []string{"baseline", "goroutine-abandon", "context-cancel", "timer-panic", "errgroup", "io-timeout"},
		ops:        []string{"http", "cache", "db"}, networks: []string{"none"}, calls: 400,
	}
}

const timeout = 250

// results makes the records of the comparison and collects them.
func (m scenario) results(t testing.TB) *results.Results {
	t.Helper()
	c := results.NewCollector()
	add := func(record any) {
		if err := c.Add(record); err != nil {
			t.Fatal(err)
		}
	}
	on := machine.Machine{OS: "linux/amd64", Kernel: "6.12.48", CPU: "A processor of eight cores", Processors: 8, Go: "go1.26.1", Version: "v0.5.0",
		Modules: map[string]string{"github.com/go-chi/chi/v5": "v5.5.0", "github.com/go-sql-driver/mysql": "v1.10.1", "github.com/tsenart/vegeta/v12": "v12.13.0", "github.com/bradfitz/gomemcache": "v0.0.0-20260422231931-4d751bb6e37c"}}
	add(&results.Run{Type: results.TypeRun, Format: results.Format, Started: time.Date(2026, 11, 21, 6, 56, 0, 0, time.UTC),
		Command: "gotimeout compare --ops http,cache,db --timeout 250ms --delay 10ms,10ms,10ms,1s --rate 200 --duration 2s --html page.html",
		Rate:    200, Duration: 2000, Repeat: 1, Probes: 50, Machine: on, Lab: on,
		TCP: map[string]string{"tcp_tw_reuse": "2", "tcp_fin_timeout": "60", "tcp_retries2": "15"}})
	n := 0
	for _, op := range m.ops {
		n++
		m.cell(add, results.Cell{Type: results.TypeCell, Cell: n, Strategy: results.FloorName, Op: op, Network: "none", Floor: true, Timeout: 250, Delays: []float64{10}, Nominal: []float64{10.4}})
		for _, network := range m.networks {
			for _, strategy := range m.strategies {
				n++
				cell := results.Cell{Type: results.TypeCell, Cell: n, Strategy: strategy, Op: op, Ctx: "aware", Network: network, Timeout: timeout,
					Delays: []float64{10, 10, 10, 1000}, Nominal: []float64{10.4, 10.4, 10.4, 1003}}
				if network != "none" {
					trip := 81.3
					cell.Driver, cell.RoundTrip = "tun", &trip
				}
				m.cell(add, cell)
			}
		}
	}
	if !m.unfinished {
		add(&results.Done{Type: results.TypeDone})
	}
	return c.Results()
}

// behaviour returns the times of a call whose delay exceeds the timeout; nil is not
// known.
func (m scenario) behaviour(strategy, op string) (answered float64, ended, backend *float64) {
	at := func(v float64) *float64 { return &v }
	soon := timeout + 0.4
	switch {
	case strategy == "baseline":
		return 1003, at(1003), at(1002.5)
	case m.clean:
		return soon, at(soon), at(soon + 0.3)
	case strategy == "goroutine-abandon":
		return soon, at(1003.2), at(1002.7)
	case op == "cache" && strategy != "io-timeout":
		return soon, at(1003.1), nil
	case op == "cache":
		return soon, at(soon + 0.1), nil
	case op == "db":
		return soon, at(soon + 0.2), at(1002.8)
	}
	return soon, at(soon + 0.2), at(soon + 1.1)
}

func (m scenario) cell(add func(any), c results.Cell) {
	bad := m.fault[c.Strategy+"/"+c.Op]
	add(&c)
	loaded := float64(m.calls * 5)
	sample := func(phase string, at float64, goroutines, connections, timeWait int) {
		add(&results.Sample{Type: results.TypeSample, Cell: c.Cell, Phase: phase, At: at, Goroutines: goroutines, Connections: &connections, TimeWait: &timeWait, CPU: 100 + max(0, at)/10, Allocated: uint64(1e6 + max(0, at)*1e3)})
	}
	sample(results.Before, -20, 31, 0, 0)
	for i := range m.calls {
		m.call(add, c, bad, i)
	}
	busy := 0
	if _, ended, _ := m.behaviour(c.Strategy, c.Op); !c.Floor && *ended > timeout+1 {
		busy = 50
	}
	for at := 0.0; at < loaded; at += 50 {
		now := int(min(1, at/1000) * float64(12+busy))
		sample(results.Load, at, 34+2*now+int(at)%7, 4+now, 0)
	}
	sample(results.Answered, loaded+20, 33+busy, 4+busy, 0)
	drained := loaded + 25 + float64(busy)*15
	for at := loaded + 50; at < drained; at += 50 {
		sample(results.Drain, at, 33+int(float64(busy)*(drained-at)/(drained-loaded)), 4+busy, 0)
	}
	sample(results.Drained, drained, 33+bad.goroutines, 4+bad.connections, bad.timeWait)
	for i := range 50 {
		status, code := "completed", ""
		if i < bad.probeFailures {
			status = "failed"
		} else if i < bad.probeFailures+bad.wrong {
			code = results.WrongAnswer
		}
		add(&results.Request{Type: results.TypeRequest, Cell: c.Cell, Phase: results.Probe, At: drained + float64(i)*12, Answered: 10.6 + bad.probeTime, Status: status, Code: code, Delay: 10})
	}
	for at := drained + 50; at < drained+600; at += 50 {
		sample(results.Probe, at, 35+bad.goroutines, 5+bad.connections, bad.timeWait)
	}
	sample(results.After, drained+650, 31+bad.goroutines, bad.connections, bad.timeWait)
	add(&results.End{Type: results.TypeEnd, Cell: c.Cell, Answered: loaded, Drained: drained, Open: bad.open, Error: bad.error})
}

// call adds request i and its receipt.
func (m scenario) call(add func(any), c results.Cell, bad flaw, i int) {
	jitter := float64(i*37%100) / 100
	at, delay := float64(i*5), c.Delays[i%len(c.Delays)]
	answered := delay + 0.5 + jitter
	ended, backend := &answered, &answered
	status, code := "completed", ""
	if !c.Floor && delay > timeout {
		var over float64
		over, ended, backend = m.behaviour(c.Strategy, c.Op)
		answered = over + jitter*jitter*jitter*1.5 + bad.overshoot
		if c.Strategy != "baseline" {
			status, code = "timed_out", "timed_out"
		}
	}
	if !c.Floor && delay > timeout && i/4 < bad.lateAnswers {
		answered += 80
	}
	switch turn := i / 4; {
	case delay > timeout && turn < bad.late:
		status, code, answered = "completed", "", 900
	case delay <= timeout && turn < bad.falseTimeouts:
		status, code, answered = "timed_out", "timed_out", timeout+0.3
	case delay <= timeout && turn < bad.failed:
		status, code = "failed", "op_failed"
	case delay <= timeout && turn < bad.refused:
		status, code = "refused", "too_many"
	}
	id := fmt.Sprintf("%d-%d", c.Cell, i)
	add(&results.Request{Type: results.TypeRequest, Cell: c.Cell, Phase: results.Load, At: at, Late: 0.2 + bad.sentLate, Answered: answered, Delay: delay, Status: status, Code: code, Receipt: id})
	receipt := results.Receipt{Type: results.TypeReceipt, Cell: c.Cell, Phase: results.Load, ID: id, Complete: true, Status: status, Delay: delay, Started: at, Answered: answered, Ended: ended, BackendEnded: backend}
	if i < bad.dialed {
		receipt.Dialed = 1
	}
	zero := 0.0
	receipt.Straggle, receipt.Waste = &zero, &zero
	if ended != nil && *ended > answered {
		straggle := *ended - answered
		receipt.Straggle = &straggle
	}
	if backend == nil {
		receipt.Waste = nil
	} else if *backend > answered {
		waste := *backend - answered
		receipt.Waste = &waste
	}
	if late := i / len(c.Delays); status == "timed_out" && late < bad.unseen {
		receipt.Waste = nil
	} else if status == "timed_out" && late >= m.calls/len(c.Delays)-bad.ranOn {
		receipt.Waste = &bad.outlast
	}
	add(&receipt)
}
