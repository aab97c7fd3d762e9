package results

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// Writer writes records as JSON lines.
type Writer struct {
	w *bufio.Writer
	e *json.Encoder
}

// NewWriter returns one on w. Flush it in the end.
func NewWriter(w io.Writer) *Writer {
	b := bufio.NewWriterSize(w, 64<<10)
	e := json.NewEncoder(b)
	e.SetEscapeHTML(false)
	return &Writer{b, e}
}

// Add writes the next record.
func (w *Writer) Add(record any) error { return w.e.Encode(record) }

// Flush writes what is still held back.
func (w *Writer) Flush() error { return w.w.Flush() }

// ErrNoResults is the error of a file that is no comparison's.
var ErrNoResults = errors.New("no results of gotimeout compare --out")

// Read makes results of a file of records. It takes a file that ends in the
// middle, as a comparison leaves it that was killed: its whole cells count.
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

// decoder has a record of each type, which the next one of the type overwrites:
// a file has a million.
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

// decode reads a line. The record holds until the next.
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

// record is an empty one of a line's type, nil where there is none.
func (d *decoder) record(line []byte) any {
	switch string(typeOf(line)) {
	case TypeRun:
		d.run = Run{}
		return &d.run
	case TypeCell:
		d.cell = Cell{}
		return &d.cell
	case TypeRequest:
		d.request = Request{}
		return &d.request
	case TypeReceipt:
		d.receipt = Receipt{}
		return &d.receipt
	case TypeSample:
		d.sample = Sample{}
		return &d.sample
	case TypeEnd:
		d.end = End{}
		return &d.end
	case TypeDone:
		d.done = Done{}
		return &d.done
	}
	return nil
}

// typeOf is the type of a record, which is its first key.
func typeOf(line []byte) []byte {
	rest, ok := bytes.CutPrefix(line, []byte(`{"type":"`))
	kind, _, closed := bytes.Cut(rest, []byte(`"`))
	if !ok || !closed {
		return nil
	}
	return kind
}
