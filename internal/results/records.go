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
	URL      string            `json:"url"`     // of the lab, "" for one that compare started
	Rate     float64           `json:"rate"`    // requests a second
	Duration float64           `json:"duration_ms"`
	WarmUp   float64           `json:"warm_up_ms"` // of a cell, before its load
	Repeat   int               `json:"repeat"`
	Probes   int               `json:"probes"` // clean calls after a cell's load
	Machine  machine.Machine   `json:"machine"`
	Lab      machine.Machine   `json:"lab"`
	TCP      map[string]string `json:"tcp"` // the lab's kernel's settings

	// Older files lack these two.
	Strategies []Strategy `json:"strategies,omitempty"` // of the lab, in its order
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
	Calls   int    `json:"calls"`             // that a run makes, at once

	Own   string   `json:"own,omitempty"`      // the name of the own call that the op makes
	Alone *float64 `json:"alone_ms,omitempty"` // what that takes while nothing else goes on, nil where not known
}

// formerOps are the ops of the lab that older files are from.
var formerOps = []Op{
	{Name: "http", Backend: "the HTTP server", Calls: 1}, {Name: "cache", Backend: "memcached", Calls: 1},
	{Name: "db", Backend: "the database", Calls: 1}, {Name: "cpu", Calls: 1}, {Name: "all", Calls: 3},
}

// about returns the strategy and the op of a cell, and the strategy's place in
// the lab's order: the end of that where the lab has no such strategy.
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
	Network   string    `json:"network"` // the profile, "none" where nothing lies between
	Driver    string    `json:"driver"`
	RoundTrip *float64  `json:"round_trip_ms"` // measured through the network
	Timeout   float64   `json:"timeout_ms"`
	Delays    []float64 `json:"delays_ms"`  // which the requests take in turn
	Nominal   []float64 `json:"nominal_ms"` // what a call of each takes when nothing else goes on, at least
	Repeat    int       `json:"repeat"`     // which one, from 1
	Floor     bool      `json:"floor"`      // nothing times out: what the machine adds by itself
	Started   time.Time `json:"started"`
}

// The phases of a cell.
const (
	Before   = "before"   // settled, cold
	WarmUp   = "warm_up"  // requests of which only the connections count
	Load     = "load"     // from the first request that counts
	Answered = "answered" // the last request has its answer
	Drain    = "drain"    // what was left behind goes on
	Drained  = "drained"  // nothing goes on any more
	Probe    = "probe"    // clean calls on the same pools
	After    = "after"    // the idle connections are closed as well
)

// Request is one request as its sender saw it.
type Request struct {
	Type     string  `json:"type"`
	Cell     int     `json:"cell"`
	Phase    string  `json:"phase"`       // Load or Probe
	At       float64 `json:"at_ms"`       // when it was due, from the begin of the load
	Late     float64 `json:"late_ms"`     // by how much it was sent later
	Answered float64 `json:"answered_ms"` // from when it was due
	Delay    float64 `json:"delay_ms"`
	Status   string  `json:"status"`  // completed, timed_out, failed or refused
	Code     string  `json:"code"`    // of the error, "" without one
	Receipt  string  `json:"receipt"` // its ID, "" where the lab gave none
}

// Receipt is a receipt of the lab as it stood at the end of the cell.
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

// Sample is the state of the lab at a moment of a cell.
type Sample struct {
	Type        string  `json:"type"`
	Cell        int     `json:"cell"`
	Phase       string  `json:"phase"`
	At          float64 `json:"at_ms"` // from the begin of the load; negative before
	Goroutines  int     `json:"goroutines"`
	InFlight    int     `json:"in_flight"`
	Abandoned   int     `json:"abandoned"`
	Connections *int    `json:"connections"` // established, to the backends; null where none looked
	TimeWait    *int    `json:"time_wait"`   // to and of the backends
	CPU         float64 `json:"cpu_ms"`      // of the lab, since it began
	Allocated   uint64  `json:"allocated_bytes"`
}

// End ends a cell.
type End struct {
	Type        string  `json:"type"`
	Cell        int     `json:"cell"`
	Answered    float64 `json:"answered_ms"` // when the last request had its answer
	Drained     float64 `json:"drained_ms"`  // when nothing went on any more
	Open        int     `json:"open"`        // receipts still incomplete when the wait for them was over
	Missing     int     `json:"missing"`     // receipts that the lab no longer had
	Others      int     `json:"others"`      // runs that somebody else made on the lab meanwhile
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

// NewWriter returns a Writer on w. Call Flush in the end.
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

// ErrNoResults is matched by the error of a file that is not the record of a
// comparison.
var ErrNoResults = errors.New("no results of gotimeout compare --out")

// Read makes results from a file of records. Of a file that ends in the middle, as
// a killed comparison leaves it, the whole cells count. An error that matches
// ErrNoResults means that the file is something else.
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
			break // the last line may be
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

// decode reads a line. The record holds until the next call.
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

// record returns an empty record of a line's type, nil where there is no such type.
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

// typeOf is the type of a record, "" where there is none. It is the first key of
// a record that Writer wrote; other programs may order and space a line as they
// like.
func typeOf(line []byte) string {
	if rest, ok := bytes.CutPrefix(line, []byte(`{"type":"`)); ok {
		if kind, _, closed := bytes.Cut(rest, []byte(`"`)); closed {
			return string(kind)
		}
	}
	var record struct{ Type string }
	_ = json.Unmarshal(line, &record) // whether it is JSON, decode finds out
	return record.Type
}
