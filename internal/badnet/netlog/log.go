// Package netlog records what a bad network does, as seen from its shaper: a Log writes
// what happens in each tenth of a second, which Read reads, and a Capture writes the packets.
package netlog

import (
	"encoding/json"
	"io"
	"math"
	"slices"
	"sync"
	"time"

	"gotimeout/internal/badnet"
)

// The first line of a log names its kind and the version of the format.
const (
	Type    = "network-log"
	Version = 1
)

// Step is how long a bucket is; the last is as long as the run goes on.
const Step = 100 * time.Millisecond

// Header is the first line of a log.
type Header struct {
	Type    string    `json:"type"`
	Version int       `json:"version"`
	Profile string    `json:"profile"` // at first
	Driver  string    `json:"driver"`
	Seed    uint64    `json:"seed"`
	Started time.Time `json:"started"`
}

// Bucket is what happened from one time to another, in milliseconds since the start.
type Bucket struct {
	From float64 `json:"from_ms"`
	To   float64 `json:"to_ms"`
	Up   Way     `json:"up"`
	Down Way     `json:"down"`
}

// Way is one direction in a Bucket. Packets that were sent may be delivered in a later one.
type Way struct {
	Rate        *int64   `json:"rate_bit_s"` // the profile's, of a trace its mean; nil is without a limit
	SentBytes   int      `json:"sent_bytes"` // with the IP headers
	SentPackets int      `json:"sent_packets"`
	Bytes       int      `json:"bytes"`   // delivered
	Packets     int      `json:"packets"` // delivered
	Lost        uint64   `json:"lost"`
	Out         uint64   `json:"out"` // in an outage
	Overflowed  uint64   `json:"overflowed"`
	Early       uint64   `json:"early"` // by codel or pie
	Duplicated  uint64   `json:"duplicated"`
	Reordered   uint64   `json:"reordered"`
	Corrupted   uint64   `json:"corrupted"`
	Queue       int      `json:"queue"`        // the longest that a packet saw; without packets, as before
	DelayP50    *float64 `json:"delay_p50_ms"` // of the delivered packets; nil where there are none
	DelayP99    *float64 `json:"delay_p99_ms"`
}

// Dropped is how many packets were dropped.
func (w Way) Dropped() uint64 { return w.Lost + w.Out + w.Overflowed + w.Early }

// Log writes a log. It implements badnet.Watcher.
type Log struct {
	to    io.Writer
	start time.Time
	stop  chan struct{}
	ended sync.WaitGroup

	mu     sync.Mutex
	open   bool
	from   time.Duration // of the present bucket
	up     way
	down   way
	closed []closedBucket
	err    error // of the first write that failed
}

type closedBucket struct {
	from, to time.Duration
	up, down way
}

// way collects one direction of the present bucket.
type way struct {
	Way
	delays []time.Duration
	queued int             // that a packet saw last
	last   badnet.Counters // of the last packet
}

// New begins a log and writes its first line.
func New(to io.Writer, h Header, p badnet.Profile) (*Log, error) {
	h.Type, h.Version = Type, Version
	if err := json.NewEncoder(to).Encode(h); err != nil {
		return nil, err
	}
	l := &Log{to: to, start: h.Started, stop: make(chan struct{}), open: true}
	l.Changed(p)
	l.ended.Go(l.write)
	return l, nil
}

// Sent counts a packet.
func (l *Log) Sent(p badnet.Packet) {
	l.mu.Lock()
	defer l.mu.Unlock()
	w := l.count(p)
	w.SentPackets++
	w.SentBytes += len(p.Data)
}

// Delivered counts a packet.
func (l *Log) Delivered(p badnet.Packet) {
	l.mu.Lock()
	defer l.mu.Unlock()
	w := l.count(p)
	w.Packets++
	w.Bytes += len(p.Data)
	w.delays = append(w.delays, p.Delay)
}

// Changed takes the rates of another profile.
func (l *Log) Changed(p badnet.Profile) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for w, link := range map[*way]badnet.Link{&l.up: p.Up, &l.down: p.Down} {
		w.last, w.Rate = badnet.Counters{}, nil
		if rate := int64(link.MeanRate()); rate > 0 {
			w.Rate = &rate
		}
	}
}

// count adds the packet's counters to the bucket of its time.
func (l *Log) count(p badnet.Packet) *way {
	l.closeUntil(p.At.Sub(l.start))
	w := &l.down
	if p.Up {
		w = &l.up
	}
	w.Lost += p.Counters.Lost - w.last.Lost
	w.Out += p.Counters.Out - w.last.Out
	w.Overflowed += p.Counters.Overflowed - w.last.Overflowed
	w.Early += p.Counters.Early - w.last.Early
	w.Duplicated += p.Counters.Duplicated - w.last.Duplicated
	w.Reordered += p.Counters.Reordered - w.last.Reordered
	w.Corrupted += p.Counters.Corrupted - w.last.Corrupted
	w.last, w.queued = p.Counters, p.Queued
	w.Queue = max(w.Queue, p.Queued)
	return w
}

// closeUntil closes the buckets that end by then.
func (l *Log) closeUntil(now time.Duration) {
	for l.open && now >= l.from+Step {
		l.close(l.from + Step)
	}
}

func (l *Log) close(to time.Duration) {
	l.closed = append(l.closed, closedBucket{l.from, to, l.up, l.down})
	l.from = to
	for _, w := range []*way{&l.up, &l.down} {
		*w = way{Way: Way{Rate: w.Rate, Queue: w.queued}, queued: w.queued, last: w.last}
	}
}

// write writes the closed buckets, not in the calls of the driver, whose packets would wait.
func (l *Log) write() {
	tick := time.NewTicker(Step)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			l.flush(false)
		case <-l.stop:
			l.flush(true)
			return
		}
	}
}

func (l *Log) flush(last bool) {
	l.mu.Lock()
	now := time.Since(l.start)
	l.closeUntil(now)
	if last {
		if now > l.from {
			l.close(now)
		}
		l.open = false
	}
	closed := l.closed
	l.closed = nil
	l.mu.Unlock()
	var lines []byte
	for _, b := range closed {
		line, err := json.Marshal(Bucket{millis(b.from), millis(b.to), b.up.figures(), b.down.figures()})
		if err != nil {
			panic(err) // only for figures that JSON hasn't
		}
		lines = append(append(lines, line...), '\n')
	}
	if l.err == nil && len(lines) > 0 {
		_, l.err = l.to.Write(lines)
	}
}

// Close writes what is left, and returns the error of the first write that failed.
func (l *Log) Close() error {
	close(l.stop)
	l.ended.Wait()
	return l.err
}

// figures returns the direction with its percentiles, by nearest rank.
func (w *way) figures() Way {
	slices.Sort(w.delays)
	w.DelayP50, w.DelayP99 = percentile(w.delays, 0.5), percentile(w.delays, 0.99)
	return w.Way
}

func percentile(sorted []time.Duration, share float64) *float64 {
	if len(sorted) == 0 {
		return nil
	}
	ms := millis(sorted[int(math.Ceil(share*float64(len(sorted))))-1])
	return &ms
}

// millis is exact to a microsecond.
func millis(d time.Duration) float64 { return float64(d.Round(time.Microsecond).Microseconds()) / 1000 }
