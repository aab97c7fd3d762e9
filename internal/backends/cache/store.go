package cachebackend

import (
	"bytes"
	"container/list"
	"strconv"
	"sync"
	"time"
)

type item struct {
	key     string
	flags   uint32
	value   []byte // never changed in place: get hands it out
	cas     uint64
	expires time.Time // zero is never
}

// size counts what an item takes, roughly, so that many small ones are bounded too.
func (it item) size() int { return len(it.key) + len(it.value) + 200 }

// store holds items up to a number of bytes and evicts the least recently used beyond it.
type store struct {
	limit int

	mu        sync.Mutex
	items     map[string]*list.Element // of item
	recent    *list.List               // most recently used first
	bytes     int
	evictions int
	cas       uint64
	flushAt   time.Time // zero is never
}

func newStore(limit int) *store {
	return &store{limit: limit, items: map[string]*list.Element{}, recent: list.New()}
}

// find returns the element of an item that is there. The lock must be held.
func (s *store) find(key string) *list.Element {
	now := time.Now()
	if !s.flushAt.IsZero() && !now.Before(s.flushAt) {
		s.clear()
	}
	e := s.items[key]
	if e == nil {
		return nil
	}
	if at := e.Value.(item).expires; !at.IsZero() && !now.Before(at) {
		s.remove(e)
		return nil
	}
	return e
}

func (s *store) remove(e *list.Element) {
	it := s.recent.Remove(e).(item)
	delete(s.items, it.key)
	s.bytes -= it.size()
}

// set stores an item under a new cas number, in place of the one that is there. The lock must be held.
func (s *store) set(it item) {
	if old := s.items[it.key]; old != nil {
		s.remove(old)
	}
	s.cas++
	it.cas = s.cas
	s.items[it.key] = s.recent.PushFront(it)
	s.bytes += it.size()
	for s.bytes > s.limit {
		s.remove(s.recent.Back())
		s.evictions++
	}
}

func (s *store) clear() {
	clear(s.items)
	s.recent.Init()
	s.bytes, s.flushAt = 0, time.Time{}
}

func (s *store) get(key string) (item, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.find(key)
	if e == nil {
		return item{}, false
	}
	s.recent.MoveToFront(e)
	return e.Value.(item), true
}

// touch gives an item another expiry and returns it.
func (s *store) touch(key string, expires time.Time) (item, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.find(key)
	if e == nil {
		return item{}, false
	}
	it := e.Value.(item)
	it.expires = expires
	e.Value = it
	s.recent.MoveToFront(e)
	return it, true
}

func (s *store) delete(key string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.find(key)
	if e != nil {
		s.remove(e)
	}
	return e != nil
}

// put carries out a storage command and returns its answer.
func (s *store) put(command string, cas uint64, it item) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.find(it.key)
	switch {
	case command == "cas" && e == nil:
		return "NOT_FOUND"
	case command == "cas" && e.Value.(item).cas != cas:
		return "EXISTS"
	case command == "add" && e != nil:
		return "NOT_STORED"
	case (command == "replace" || command == "append" || command == "prepend") && e == nil:
		return "NOT_STORED"
	}
	if command == "append" || command == "prepend" { // the old item's flags and expiry stay
		old, more := e.Value.(item), it.value
		it = old
		it.value = bytes.Join([][]byte{old.value, more}, nil)
		if command == "prepend" {
			it.value = bytes.Join([][]byte{more, old.value}, nil)
		}
		if len(it.value) > maxValue {
			return errTooLarge
		}
	}
	s.set(it)
	return "STORED"
}

// add carries out incr and decr: incr wraps at 64 bits, decr stops at 0 and keeps the value's length with spaces.
func (s *store) add(key string, delta uint64, down bool) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.find(key)
	if e == nil {
		return "NOT_FOUND"
	}
	it := e.Value.(item)
	n, err := strconv.ParseUint(string(bytes.TrimRight(it.value, " ")), 10, 64)
	if err != nil {
		return "CLIENT_ERROR cannot increment or decrement non-numeric value"
	}
	if down {
		n -= min(n, delta)
	} else {
		n += delta
	}
	answer := strconv.FormatUint(n, 10)
	length := len(it.value)
	it.value = []byte(answer)
	for len(it.value) < length {
		it.value = append(it.value, ' ')
	}
	s.set(it)
	return answer
}

// flush drops every item at the given time, or now where that is zero or past.
func (s *store) flush(at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if at.After(time.Now()) {
		s.flushAt = at
		return
	}
	s.clear()
}

func (s *store) sizes() (items, bytes, evictions int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.items), s.bytes, s.evictions
}
