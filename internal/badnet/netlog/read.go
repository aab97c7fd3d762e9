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
	Cut     bool // the last line has no end, and is left out
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
			r.Cut = len(line) > 0
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
		if err := decoder.Decode(&b); err != nil || !b.possible() || len(r.Buckets) > 0 && b.From < r.Buckets[len(r.Buckets)-1].To {
			return nil, fmt.Errorf("line %d of the log is broken", number)
		}
		r.Buckets = append(r.Buckets, b)
	}
}

// possible tells whether a Log may write such a bucket.
func (b Bucket) possible() bool {
	const most = 1e12 // of all: 30 years in ms, and so little that a sum stays exact
	ok := b.From >= 0 && b.To > b.From && b.To <= most
	for _, w := range []Way{b.Up, b.Down} {
		ok = ok && min(w.SentBytes, w.SentPackets, w.Bytes, w.Packets, w.Queue) >= 0 && (w.Rate == nil || *w.Rate > 0) &&
			float64(max(w.SentBytes, w.SentPackets, w.Bytes, w.Packets, w.Queue)) <= most &&
			max(w.Lost, w.Out, w.Overflowed, w.Early, w.Duplicated, w.Reordered, w.Corrupted) <= most
		for _, ms := range []*float64{w.DelayP50, w.DelayP99} {
			ok = ok && (ms == nil || *ms >= 0 && *ms <= most)
		}
	}
	return ok
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
