package badnet

import (
	"time"
)

// Queue holds packets until their release, in the order of their times, and
// packets of one time in the order of Put. It starts no goroutine and reads no
// clock: a driver asks it when to wake up. It is not safe for concurrent use.
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

// Put adds a packet that is released at that time; the Queue keeps the slice. It
// returns false and drops the packet where the Queue is full.
func (q *Queue) Put(at time.Time, packet []byte) bool {
	if len(q.held) >= q.limits.Packets || len(packet) > q.limits.Bytes-q.bytes {
		return false
	}
	q.bytes += len(packet)
	q.puts++
	q.held.push(item{at, q.puts, packet})
	return true
}

// Next returns the time of the first packet, and false where there is none.
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

// item is a packet and the time of its release.
type item struct {
	at     time.Time
	seq    uint64 // of the Put
	packet []byte
}

func (i item) before(j item) bool {
	if c := i.at.Compare(j.at); c != 0 {
		return c < 0
	}
	return i.seq < j.seq
}

// heap is a binary heap: the first item is at 0, and the children of i are at
// 2i+1 and 2i+2. container/heap would allocate an interface for each item.
type heap []item

// push adds an item.
func (h *heap) push(x item) {
	*h = append(*h, x)
	s, i := *h, len(*h)-1
	for i > 0 {
		parent := (i - 1) / 2
		if !s[i].before(s[parent]) {
			break
		}
		s[i], s[parent] = s[parent], s[i]
		i = parent
	}
}

// pop takes the first item; there must be one.
func (h *heap) pop() item {
	s := *h
	first, last := s[0], len(s)-1
	s[0] = s[last]
	s[last] = item{} // so that the packet can be collected
	s = s[:last]
	*h = s
	for i := 0; ; {
		child := 2*i + 1
		if child >= last {
			return first
		}
		if right := child + 1; right < last && s[right].before(s[child]) {
			child = right
		}
		if !s[child].before(s[i]) {
			return first
		}
		s[i], s[child] = s[child], s[i]
		i = child
	}
}
