package badnet

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"os"
	"sort"
	"strconv"
	"time"
)

// opportunity is how many bytes a link delivers at each line of a trace.
const opportunity = 1500

// Trace is when a link may send, as mahimahi's traces have it: each line of the file
// is a whole number of milliseconds from the start, at which the link delivers up to
// 1500 bytes. A millisecond may be there several times. After the last line the file
// begins again. The zero Trace is none.
type Trace struct {
	File  string
	times string // milliseconds, four bytes each: a Link stays comparable, and small to copy
}

// maxTrace is the largest file that is read as a trace.
const maxTrace = 256 << 20

// readTrace reads a trace from its file.
func readTrace(name string) (Trace, error) {
	f, err := os.Open(name)
	if err != nil {
		return Trace{}, fmt.Errorf("the trace can't be read: %w", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxTrace+1))
	switch {
	case err != nil:
		return Trace{}, fmt.Errorf("the trace can't be read: %w", err)
	case len(text) > maxTrace:
		return Trace{}, fmt.Errorf("the trace %s has more than %d MiB; write a shorter one, which repeats", name, maxTrace>>20)
	}
	return parseTrace(name, text)
}

func parseTrace(name string, text []byte) (Trace, error) {
	text = bytes.TrimRight(text, " \t\r\n")
	if len(text) == 0 {
		return Trace{}, fmt.Errorf("the trace %s is empty; write a line for each 1500 bytes that the link delivers, with the millisecond of their delivery", name)
	}
	times := make([]byte, 0, 4*(bytes.Count(text, []byte{'\n'})+1))
	last, number := uint64(0), 0
	for line := range bytes.Lines(text) {
		number++
		line = bytes.TrimSpace(line)
		ms, err := strconv.ParseUint(string(line), 10, 32)
		switch {
		case err != nil || ms == math.MaxUint32:
			return Trace{}, fmt.Errorf("line %d of the trace %s is %.40q; write a whole number of milliseconds", number, name, line)
		case ms < last:
			return Trace{}, fmt.Errorf("line %d of the trace %s goes back from %d ms to %d ms; write the lines in the order of their times", number, name, last, ms)
		}
		last = ms
		times = binary.LittleEndian.AppendUint32(times, uint32(ms))
	}
	if last == 0 {
		return Trace{}, fmt.Errorf("the trace %s ends at 0 ms, and can't repeat; write a last line of 1 or more", name)
	}
	return Trace{name, string(times)}, nil
}

// Rate is the mean of a trace in bit/s, and at least 1, because a rate of 0 is no limit.
func (t Trace) Rate() int64 {
	bits := float64(t.len()) * opportunity * 8
	return max(1, int64(bits/t.period().Seconds()))
}

func (t *Trace) len() int { return len(t.times) / 4 }

// at returns when the opportunity i comes, from the beginning of the trace.
func (t *Trace) at(i int) time.Duration {
	b := t.times[4*i : 4*i+4]
	ms := uint32(b[0]) | uint32(b[1])<<8 | uint32(b[2])<<16 | uint32(b[3])<<24
	return time.Duration(ms) * time.Millisecond
}

func (t *Trace) period() time.Duration { return t.at(t.len() - 1) }

// after returns the first opportunity after d, which is below the period.
func (t *Trace) after(d time.Duration) int {
	return sort.Search(t.len(), func(i int) bool { return t.at(i) > d })
}

// opportunities is where a link is in its trace.
type opportunities struct {
	base  time.Time // when this turn of the trace has begun
	next  int       // the first opportunity that nothing was sent at
	spare int       // bytes that are left of the one before
}

// skip leaves out the opportunities until now, at which nothing waited.
func (o *opportunities) skip(t *Trace, now time.Time) {
	o.spare = 0
	if o.base.Add(t.at(o.next)).After(now) {
		return
	}
	o.base = o.base.Add(now.Sub(o.base) / t.period() * t.period())
	o.next = t.after(now.Sub(o.base))
}

// send sends so many bytes, the first in what is left of the opportunity at sent, and
// returns when the last are delivered.
func (o *opportunities) send(t *Trace, sent time.Time, size int) time.Time {
	for {
		taken := min(size, o.spare)
		size -= taken
		o.spare -= taken
		if size == 0 {
			return sent
		}
		sent = o.base.Add(t.at(o.next))
		o.spare = opportunity
		if o.next++; o.next == t.len() {
			o.base, o.next = o.base.Add(t.period()), 0
		}
	}
}
