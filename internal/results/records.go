package results

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"gotimeout/internal/machine"
	"gotimeout/strategies"
)

// Format is the version of the records. A reader refuses another one.
const Format = 1

// The types of records. A record is a flat JSON object on a line of its own, whose
// first key is its type. Times are in milliseconds; null is not known.
const (
	TypeRun     = "run"
	TypeCell    = "cell"
	TypeRequest = "request"
	TypeReceipt = "receipt"
	TypeSample  = "sample"
	TypeEnd     = "end"
	TypeDone    = "done"
)

// Run is the first record: the plan, and the machines.
type Run struct {
	Type     string            `json:"type"`
	Format   int               `json:"format"`
	Started  time.Time         `json:"started"`
	Command  string            `json:"command"` // the command line
	URL      string            `json:"url"`     // the lab's URL; "" is a lab that compare started
	Rate     float64           `json:"rate"`    // requests a second
	Duration float64           `json:"duration_ms"`
	WarmUp   float64           `json:"warm_up_ms"` // the length of a cell's warm-up
	Repeat   int               `json:"repeat"`
	Probes   int               `json:"probes"` // clean calls after a cell's load
	Machine  machine.Machine   `json:"machine"`
	Lab      machine.Machine   `json:"lab"`
	TCP      map[string]string `json:"tcp"` // settings of the kernel of the lab

	// Older files lack these two.
	Strategies []Strategy `json:"strategies,omitempty"` // the lab's strategies, in its order
	Ops        []Op       `json:"ops,omitempty"`
}

// Strategy is a strategy of the lab.
type Strategy struct {
	Name      string `json:"name"`
	Family    string `json:"family"`
	Unbounded bool   `json:"unbounded,omitempty"` // it ignores the timeout
}

// Op is an op of the lab.
type Op struct {
	Name    string `json:"name"`
	Backend string `json:"backend,omitempty"` // its backend's name in a sentence, "" where there is none
	Calls   int    `json:"calls"`             // how many calls a run makes at once

	Own   string   `json:"own,omitempty"`      // the name of the own call that the op makes
	Alone *float64 `json:"alone_ms,omitempty"` // how long the own call takes alone; nil if not known
}

// formerOps are the ops of the lab that older files are from.
var formerOps = []Op{
	{Name: "http", Backend: "the HTTP server", Calls: 1}, {Name: "cache", Backend: "memcached", Calls: 1},
	{Name: "db", Backend: "the database", Calls: 1}, {Name: "cpu", Calls: 1}, {Name: "all", Calls: 3},
}

// about returns the strategy and the op of a cell, and the strategy's place in the lab's
// order. An unknown strategy has the place after the last.
func (r *Run) about(c Cell) (s Strategy, place int, op Op) {
	known, ops := r.Strategies, r.Ops
	if len(known) == 0 { // an older file
		for _, s := range strategies.All() {
			known = append(known, Strategy{s.Name, string(s.Family), s.Unbounded})
		}
	}
	if len(ops) == 0 {
		ops = formerOps
	}
	place = len(known)
	if i := slices.IndexFunc(known, func(s Strategy) bool { return s.Name == c.Strategy }); i >= 0 {
		s, place = known[i], i
	}
	if i := slices.IndexFunc(ops, func(o Op) bool { return o.Name == c.Op }); i >= 0 {
		op = ops[i]
	}
	return s, place, op
}

// Cell begins the run of one combination.
type Cell struct {
	Type      string    `json:"type"`
	Cell      int       `json:"cell"` // its number in this file, from 1
	Strategy  string    `json:"strategy"`
	Op        string    `json:"op"`
	Ctx       string    `json:"ctx"`
	Network   string    `json:"network"` // the profile; "none" is no network in between
	Driver    string    `json:"driver"`
	RoundTrip *float64  `json:"round_trip_ms"` // measured through the network
	Timeout   float64   `json:"timeout_ms"`
	Delays    []float64 `json:"delays_ms"`  // the delays that the requests take in turn
	Nominal   []float64 `json:"nominal_ms"` // the least time of a call of each delay alone
	Repeat    int       `json:"repeat"`     // the number of the repeat, from 1
	Floor     bool      `json:"floor"`      // no call times out: the cell measures the time that the machine adds
	Started   time.Time `json:"started"`
}

// The phases of a cell.
const (
	Before   = "before"   // before the warm-up: no connection is open
	WarmUp   = "warm_up"  // only the connections of these requests count
	Load     = "load"     // from the first request that counts
	Answered = "answered" // the last request has its answer
	Drain    = "drain"    // the work that was left behind goes on
	Drained  = "drained"  // all work has ended
	Probe    = "probe"    // clean calls on the same pools
	After    = "after"    // the idle connections are closed too
)

// Request is one request as its sender saw it.
type Request struct {
	Type     string  `json:"type"`
	Cell     int     `json:"cell"`
	Phase    string  `json:"phase"`       // Load or Probe
	At       float64 `json:"at_ms"`       // when the request was due, from the begin of the load
	Late     float64 `json:"late_ms"`     // how late the request was sent
	Answered float64 `json:"answered_ms"` // when the answer came, from when the request was due
	Delay    float64 `json:"delay_ms"`
	Status   string  `json:"status"`  // completed, timed_out, failed or refused
	Code     string  `json:"code"`    // the code of the error; "" without an error
	Receipt  string  `json:"receipt"` // the receipt's ID; "" without a receipt
}

// Receipt is a receipt of the lab as it was at the end of the cell.
type Receipt struct {
	Type         string   `json:"type"`
	Cell         int      `json:"cell"`
	Phase        string   `json:"phase"` // WarmUp, Load or Probe
	ID           string   `json:"id"`
	Complete     bool     `json:"complete"`
	Status       string   `json:"status"`
	Delay        float64  `json:"delay_ms"`
	Started      float64  `json:"started_ms"` // from the begin of the load, by the lab's clock
	Answered     float64  `json:"answered_ms"`
	Overshoot    *float64 `json:"overshoot_ms"`
	Ended        *float64 `json:"ended_ms"`
	Straggle     *float64 `json:"straggle_ms"`
	BackendEnded *float64 `json:"backend_ended_ms"`
	Waste        *float64 `json:"waste_ms"`
	Goroutines   int      `json:"goroutines_left"`
	Dialed       int      `json:"dialed"`
	Reused       int      `json:"reused"`
	Kept         int      `json:"kept"`
	Closed       int      `json:"closed"`
	RST          int      `json:"rst"`
}

// Sample is the state of the lab at one time of a cell.
type Sample struct {
	Type        string  `json:"type"`
	Cell        int     `json:"cell"`
	Phase       string  `json:"phase"`
	At          float64 `json:"at_ms"` // from the begin of the load; negative before
	Goroutines  int     `json:"goroutines"`
	InFlight    int     `json:"in_flight"`
	Abandoned   int     `json:"abandoned"`
	Connections *int    `json:"connections"` // established connections to the backends; null if not listed
	TimeWait    *int    `json:"time_wait"`   // sockets in TIME-WAIT, of the lab and of the backends
	CPU         float64 `json:"cpu_ms"`      // the lab's processor time since its start
	Allocated   uint64  `json:"allocated_bytes"`
}

// End ends a cell.
type End struct {
	Type        string  `json:"type"`
	Cell        int     `json:"cell"`
	Answered    float64 `json:"answered_ms"` // when the last request had its answer
	Drained     float64 `json:"drained_ms"`  // when all work had ended
	Open        int     `json:"open"`        // receipts still incomplete when the wait for them was over
	Missing     int     `json:"missing"`     // receipts that the lab no longer had
	Others      int     `json:"others"`      // runs that others made on the lab meanwhile
	Interrupted bool    `json:"interrupted"`
	Error       string  `json:"error"` // why the cell could not be run, or ""
}

// Done is the last record of a comparison that came to its end.
type Done struct {
	Type        string `json:"type"`
	Interrupted bool   `json:"interrupted"`
}

// Writer writes records as JSON lines.
type Writer struct {
	w *bufio.Writer
	e *json.Encoder
}

// NewWriter returns a Writer on w. Call Flush at the end.
func NewWriter(w io.Writer) *Writer {
	b := bufio.NewWriterSize(w, 64<<10)
	e := json.NewEncoder(b)
	e.SetEscapeHTML(false)
	return &Writer{b, e}
}

// Add writes the next record.
func (w *Writer) Add(record any) error { return w.e.Encode(record) }

// Flush writes what is still buffered.
func (w *Writer) Flush() error { return w.w.Flush() }

// ErrNoResults is matched by the error for a file without the records of a comparison.
var ErrNoResults = errors.New("no results of gotimeout compare --out")

// Read makes results from a file of records. A killed comparison leaves a file that ends
// in the middle; then the whole cells count. An error that matches ErrNoResults means that
// the file is something else.
func Read(r io.Reader) (*Results, error) {
	const longest = 1 << 20 // far more than any record
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 64<<10), longest)
	c, d, n := NewCollector(), decoder{}, 0
	for lines.Scan() {
		n++
		record, err := d.decode(lines.Bytes())
		if _, begins := record.(*Run); n == 1 && !begins {
			return nil, fmt.Errorf("line 1 is no record of a run: these are %w", ErrNoResults)
		}
		if errors.Is(err, errCut) && !lines.Scan() {
			break // the last line may be incomplete
		}
		if err == nil {
			err = c.Add(record)
		}
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
	}
	switch err := lines.Err(); {
	case errors.Is(err, bufio.ErrTooLong):
		return nil, fmt.Errorf("line %d is longer than any record: these are %w", n+1, ErrNoResults)
	case err != nil:
		return nil, err
	case c.results.Run.Format == 0:
		return nil, fmt.Errorf("it is empty, or was cut in its first line: these are %w", ErrNoResults)
	}
	return c.Results(), nil
}

// decoder reuses one record of each type: a file has a million records.
type decoder struct {
	run     Run
	cell    Cell
	request Request
	receipt Receipt
	sample  Sample
	end     End
	done    Done
}

var errCut = errors.New("it is no whole JSON object")

// decode reads a line. The record is valid until the next call.
func (d *decoder) decode(line []byte) (any, error) {
	record := d.record(line)
	switch {
	case record == nil && json.Valid(line):
		return nil, fmt.Errorf("there is no type of record %.40q", typeOf(line))
	case record == nil:
		return nil, errCut
	}
	err := json.Unmarshal(line, record)
	if syntax := new(json.SyntaxError); errors.As(err, &syntax) {
		err = errCut
	}
	return record, err
}

// record returns an empty record of a line's type, or nil for an unknown type.
func (d *decoder) record(line []byte) any {
	switch typeOf(line) {
	case TypeRun:
		return emptied(&d.run)
	case TypeCell:
		return emptied(&d.cell)
	case TypeRequest:
		return emptied(&d.request)
	case TypeReceipt:
		return emptied(&d.receipt)
	case TypeSample:
		return emptied(&d.sample)
	case TypeEnd:
		return emptied(&d.end)
	case TypeDone:
		return emptied(&d.done)
	}
	return nil
}

func emptied[T any](record *T) *T {
	*record = *new(T)
	return record
}

// typeOf returns the type of a record, or "". Writer writes it as the first key; other
// programs may order and space a line differently.
func typeOf(line []byte) string {
	if rest, ok := bytes.CutPrefix(line, []byte(`{"type":"`)); ok {
		if kind, _, closed := bytes.Cut(rest, []byte(`"`)); closed {
			return string(kind)
		}
	}
	var record struct{ Type string }
	_ = json.Unmarshal(line, &record) // decode returns the error of a line that is not JSON
	return record.Type
}
