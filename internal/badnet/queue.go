package badnet

import (
	"sync"
	"time"
)

// Queue holds packets until their time and hands them over in its order; of the
// same time, in the order of Put. It is safe for concurrent use.
type Queue struct {
	deliver func(packet []byte)
	limits  Bounds

	mu     sync.Mutex
	held   heap
	bytes  int
	puts   uint64
	closed bool

	wake chan struct{} // there is an earlier first packet, or no more of them
	done chan struct{} // the goroutine has ended
}

// Bounds are how much a Queue holds.
type Bounds struct {
	Packets int
	Bytes   int
}

// NewQueue returns a Queue within the bounds. It hands the packets to deliver,
// one after the other and from one goroutine, which runs until Close. A packet
// is late by what the runtime's timers are, and by what deliver takes for those
// before it; it is never early.
func NewQueue(limits Bounds, deliver func(packet []byte)) *Queue {
	q := &Queue{deliver: deliver, limits: limits, wake: make(chan struct{}, 1), done: make(chan struct{})}
	go q.run()
	return q
}

// Put takes a packet to hand over at its time, or now if that has passed; the
// Queue keeps the slice. It returns false if that packet would be out of
// bounds, or the Queue is closed: then it is dropped.
func (q *Queue) Put(at time.Time, packet []byte) bool {
	q.mu.Lock()
	if q.closed || len(q.held) >= q.limits.Packets || len(packet) > q.limits.Bytes-q.bytes {
		q.mu.Unlock()
		return false
	}
	q.bytes += len(packet)
	q.puts++
	first := q.held.push(item{at, q.puts, packet})
	q.mu.Unlock()
	if first {
		q.signal()
	}
	return true
}

// Held returns how much the Queue holds now.
func (q *Queue) Held() Bounds {
	q.mu.Lock()
	defer q.mu.Unlock()
	return Bounds{len(q.held), q.bytes}
}

// Close drops what the Queue holds. It waits for a deliver that is running, so
// it must not be called from there; afterwards none is.
func (q *Queue) Close() {
	q.mu.Lock()
	q.closed = true
	q.held, q.bytes = nil, 0
	q.mu.Unlock()
	q.signal()
	<-q.done
}

// signal wakes the goroutine; one signal that it hasn't taken yet is enough.
func (q *Queue) signal() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

func (q *Queue) run() {
	defer close(q.done)
	timer := time.NewTimer(time.Hour) // that it fires for nothing does no harm
	defer timer.Stop()
	for {
		packet, wait, state := q.next()
		switch state {
		case due:
			q.deliver(packet)
			continue
		case over:
			return
		case waiting:
			timer.Reset(wait)
		}
		select {
		case <-timer.C:
		case <-q.wake:
		}
	}
}

// What next finds.
const (
	due     = iota // a packet to hand over
	waiting        // one that is to wait
	empty          // none
	over           // none any more
)

// next takes the first packet if its time has come, or returns how long that
// will be.
func (q *Queue) next() (packet []byte, wait time.Duration, state int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case q.closed:
		return nil, 0, over
	case len(q.held) == 0:
		return nil, 0, empty
	}
	if wait := time.Until(q.held[0].at); wait > 0 {
		return nil, wait, waiting
	}
	packet = q.held.pop().packet
	q.bytes -= len(packet)
	return packet, 0, due
}
