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
	c := NewCollector()
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 64<<10), 16<<20)
	cut := false
	for n := 1; lines.Scan(); n++ {
		if cut {
			return nil, fmt.Errorf("line %d can't be read: it is no JSON object of its own", n-1)
		}
		record, err := decode(lines.Bytes())
		switch {
		case n == 1 && (err != nil || !isRun(record)):
			return nil, fmt.Errorf("line 1 is no record of a run: %w", ErrNoResults)
		case err != nil && errors.Is(err, errSyntax):
			cut = true // the last line may be
			continue
		case err == nil:
			err = c.Add(record)
		}
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, err
	}
	if c.results.Run.Format == 0 {
		return nil, fmt.Errorf("it is empty: %w", ErrNoResults)
	}
	if f := c.results.Run.Format; f != Format {
		return nil, fmt.Errorf("its records are of format %d, this gotimeout reads %d: use the one that wrote it", f, Format)
	}
	return &c.results, nil
}

func isRun(record any) bool { _, ok := record.(*Run); return ok }

var errSyntax = errors.New("no JSON")

// decode reads a line.
func decode(line []byte) (any, error) {
	record, err := recordOf(typeOf(line))
	if err == nil {
		if err = json.Unmarshal(line, record); err != nil {
			return nil, fmt.Errorf("%w: %w", errSyntax, err)
		}
		return record, nil
	}
	if !json.Valid(line) {
		return nil, errSyntax
	}
	return nil, err
}

// typeOf is the type of a record, which is its first key.
func typeOf(line []byte) string {
	const first = `{"type":"`
	rest, ok := bytes.CutPrefix(line, []byte(first))
	end := bytes.IndexByte(rest, '"')
	if !ok || end < 0 {
		return ""
	}
	return string(rest[:end])
}

func recordOf(kind string) (any, error) {
	switch kind {
	case TypeRun:
		return new(Run), nil
	case TypeCell:
		return new(Cell), nil
	case TypeRequest:
		return new(Request), nil
	case TypeReceipt:
		return new(Receipt), nil
	case TypeSample:
		return new(Sample), nil
	case TypeEnd:
		return new(End), nil
	case TypeDone:
		return new(Done), nil
	}
	return nil, fmt.Errorf("there is no type of record %.40q", kind)
}
