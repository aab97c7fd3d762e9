package netlog

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// Recorded is a log that was read.
type Recorded struct {
	Header
	Buckets []Bucket
}

// longest is a line's: no Log writes a longer one.
const longest = 1 << 20

// Read reads a log. A last line without its end is left out: the log is still being
// written, or its writer was killed.
func Read(from io.Reader) (*Recorded, error) {
	r := new(Recorded)
	lines := bufio.NewReader(io.LimitReader(from, 4<<30))
	for number := 1; ; number++ {
		line, err := readLine(lines)
		switch {
		case errors.Is(err, io.EOF) && number > 1:
			return r, nil
		case err != nil && !errors.Is(err, io.EOF):
			return nil, err
		case number == 1:
			if json.Unmarshal(line, &r.Header) != nil || r.Type != Type {
				return nil, errors.New("this is no log of network run --log")
			}
			if r.Version != Version {
				return nil, fmt.Errorf("the log has version %d of the format, and this program reads version %d", r.Version, Version)
			}
			continue
		}
		var b Bucket
		decoder := json.NewDecoder(bytes.NewReader(line))
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(&b); err != nil || b.From < 0 || b.To <= b.From || len(r.Buckets) > 0 && b.From < r.Buckets[len(r.Buckets)-1].To {
			return nil, fmt.Errorf("line %d of the log is broken", number)
		}
		r.Buckets = append(r.Buckets, b)
	}
}

// readLine returns a line with its end, and io.EOF where that is missing.
func readLine(from *bufio.Reader) (line []byte, err error) {
	for {
		part, err := from.ReadSlice('\n')
		line = append(line, part...)
		if !errors.Is(err, bufio.ErrBufferFull) {
			return line, err
		}
		if len(line) > longest {
			return nil, errors.New("this is no log of network run --log: a line is too long")
		}
	}
}
