package badnet

import "time"

// Queue holds packets until their time, in the order of their times; of the
// same time, in the order of Put. It starts nothing and reads no clock: a driver
// asks it when to wake up. It is not safe for concurrent use.
type Queue struct {
	limits Bounds
	held   heap
	bytes  int
	puts   uint64
}

// Bounds are how much a Queue holds.
type Bounds struct {
	Packets int
	Bytes   int
}

// NewQueue returns a Queue within the bounds.
func NewQueue(limits Bounds) *Queue { return &Queue{limits: limits} }

// Put takes a packet that comes out at that time; the Queue keeps the slice. It
// returns false where the packet would be out of bounds: then it is dropped.
func (q *Queue) Put(at time.Time, packet []byte) bool {
	if len(q.held) >= q.limits.Packets || len(packet) > q.limits.Bytes-q.bytes {
		return false
	}
	q.bytes += len(packet)
	q.puts++
	q.held.push(item{at, q.puts, packet})
	return true
}

// Next returns when the first packet comes out, and false where there is none.
func (q *Queue) Next() (at time.Time, ok bool) {
	if len(q.held) == 0 {
		return time.Time{}, false
	}
	return q.held[0].at, true
}

// Pop takes the first packet if its time has come, or returns false.
func (q *Queue) Pop(now time.Time) (packet []byte, ok bool) {
	if len(q.held) == 0 || q.held[0].at.After(now) {
		return nil, false
	}
	packet = q.held.pop().packet
	q.bytes -= len(packet)
	return packet, true
}

// Held returns how much the Queue holds now.
func (q *Queue) Held() Bounds { return Bounds{len(q.held), q.bytes} }
