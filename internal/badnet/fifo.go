package badnet

import "time"

// fifo is a queue of times in their order, in a ring that grows by doubling.
type fifo struct {
	ring []time.Time // its length is a power of two
	head int
	n    int
}

func (f *fifo) len() int { return f.n }

func (f *fifo) push(t time.Time) {
	if f.n == len(f.ring) {
		ring := make([]time.Time, max(2*len(f.ring), 16))
		for i := range f.n {
			ring[i] = f.ring[(f.head+i)&(len(f.ring)-1)]
		}
		f.ring, f.head = ring, 0
	}
	f.ring[(f.head+f.n)&(len(f.ring)-1)] = t
	f.n++
}

// dropUntil drops those that are not after now.
func (f *fifo) dropUntil(now time.Time) {
	for f.n > 0 && !f.ring[f.head].After(now) {
		f.head = (f.head + 1) & (len(f.ring) - 1)
		f.n--
	}
}
