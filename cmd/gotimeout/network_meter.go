package main

import (
	"fmt"
	"io"
	"sync"
	"time"

	"gotimeout/internal/badnet"
	"gotimeout/internal/badnet/check"
)

// meterStep is how long a line of a meter stands, and what its throughput is of.
const meterStep = 500 * time.Millisecond

// meter shows in one line of a terminal what a bad network does now. It implements
// badnet.Watcher. The command writes to the same terminal: its output overwrites the line.
type meter struct {
	to      io.Writer
	columns int
	stop    chan struct{}
	ended   sync.WaitGroup

	mu       sync.Mutex
	up, down metered
}

// metered is one direction.
type metered struct {
	bytes   int    // delivered in the present step
	queued  int    // packets that wait for the rate
	dropped uint64 // since the start
	before  uint64 // dropped before the present profile
}

func newMeter(to io.Writer, columns int) *meter {
	m := &meter{to: to, columns: columns, stop: make(chan struct{})}
	m.ended.Go(m.show)
	return m
}

// Sent takes the queue and the drops.
func (m *meter) Sent(p badnet.Packet) { m.take(p, 0) }

// Delivered takes the bytes too.
func (m *meter) Delivered(p badnet.Packet) { m.take(p, len(p.Data)) }

// Changed begins the drops of another profile.
func (m *meter) Changed(badnet.Profile) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.up.before, m.down.before = m.up.dropped, m.down.dropped
}

func (m *meter) take(p badnet.Packet, delivered int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	w := &m.down
	if p.Up {
		w = &m.up
	}
	w.bytes += delivered
	w.queued = p.Queued
	w.dropped = w.before + p.Counters.Lost + p.Counters.Out + p.Counters.Overflowed + p.Counters.Early
}

// show writes the line again and again, not in the calls of the driver, whose packets would wait.
func (m *meter) show() {
	tick := time.NewTicker(meterStep)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			line := m.line()
			fmt.Fprintf(m.to, "\r\x1b[K%s\r", line[:min(len(line), m.columns-1)])
		case <-m.stop:
			fmt.Fprint(m.to, "\r\x1b[K")
			return
		}
	}
}

// line describes the step that ends, and begins the next.
func (m *meter) line() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	text := func(name string, w *metered) string {
		rate := 8 * float64(w.bytes) / meterStep.Seconds()
		w.bytes = 0
		return fmt.Sprintf("%s %s, queue %d, dropped %d", name, check.Bits.Format(&rate), w.queued, w.dropped)
	}
	return text("up", &m.up) + " | " + text("down", &m.down)
}

// Close takes the line away.
func (m *meter) Close() error {
	close(m.stop)
	m.ended.Wait()
	return nil
}
