package badnet

import "time"

// item is a packet that waits for its time.
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

// heap has its first item at 0, and those of i at 2i+1 and 2i+2. The library's
// would put each item into an interface, which allocates.
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
	s[last] = item{} // let go of the packet
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
