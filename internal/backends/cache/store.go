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
	flags   uint64
	value   []byte // never changed in place: a get hands it out
	cas     uint64
	expires time.Time // zero is never
}

// size counts what an item takes, roughly, so that many small ones are bounded too.
func (it item) size() int { return len(it.key) + len(it.value) + 200 }

// store holds items up to a number of bytes and evicts the least recently used beyond it.
type store struct {
	limit int

	mu     sync.Mutex
	items  map[string]*list.Element // of item
	recent *list.List               // most recently used first
	bytes  int
	cas    uint64
}

func newStore(limit int) *store {
	return &store{limit: limit, items: map[string]*list.Element{}, recent: list.New()}
}

func (s *store) flush() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.items)
	s.recent.Init()
	s.bytes = 0
}

// change carries out a request on its first key and returns its answer. What a retrieval finds is returned, with an answer of
// "NOT_FOUND" for an item that is not there.
func (s *store) change(r request) (answer string, found item) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.items[r.keys[0]]
	if e != nil {
		found = e.Value.(item)
		if !found.expires.IsZero() && !time.Now().Before(found.expires) {
			s.remove(e)
			e, found = nil, item{}
		}
	}
	switch {
	case r.stores():
		return s.put(r, e != nil, found), found
	case e == nil:
		return "NOT_FOUND", found
	}
	s.recent.MoveToFront(e)
	switch r.command {
	case "delete":
		s.remove(e)
		return "DELETED", found
	case "incr", "decr":
		return s.count(r, found), found
	case "touch", "gat", "gats":
		found.expires = r.expires
		e.Value = found
	}
	return "TOUCHED", found
}

func (s *store) remove(e *list.Element) {
	it := s.recent.Remove(e).(item)
	delete(s.items, it.key)
	s.bytes -= it.size()
}

// set stores an item under a new cas number, in place of an old item of its key.
func (s *store) set(it item) {
	if old := s.items[it.key]; old != nil {
		s.remove(old)
	}
	s.cas++
	it.cas = s.cas
	s.items[it.key] = s.recent.PushFront(it)
	for s.bytes += it.size(); s.bytes > s.limit; {
		s.remove(s.recent.Back())
	}
}

// put carries out a storage command beside the old item.
func (s *store) put(r request, exists bool, old item) (answer string) {
	it := item{key: r.keys[0], flags: r.flags, value: r.value, expires: r.expires}
	switch r.command {
	case "cas":
		if !exists {
			return "NOT_FOUND"
		}
		if old.cas != r.unique {
			return "EXISTS"
		}
	case "add":
		if exists {
			return "NOT_STORED"
		}
	case "replace", "append", "prepend":
		if !exists {
			return "NOT_STORED"
		}
	}
	switch r.command { // the old item's flags and expiry stay
	case "append":
		old.value = bytes.Join([][]byte{old.value, r.value}, nil)
		it = old
	case "prepend":
		old.value = bytes.Join([][]byte{r.value, old.value}, nil)
		it = old
	}
	if len(it.value) > maxValue {
		return errTooLarge
	}
	s.set(it)
	return "STORED"
}

// count carries out incr and decr: incr wraps at 64 bits, decr stops at 0 and keeps the value's length with spaces.
func (s *store) count(r request, it item) (answer string) {
	n, err := strconv.ParseUint(string(bytes.TrimRight(it.value, " ")), 10, 64)
	if err != nil {
		return "CLIENT_ERROR cannot increment or decrement non-numeric value"
	}
	if r.command == "decr" {
		n -= min(n, r.delta)
	} else {
		n += r.delta
	}
	answer = strconv.FormatUint(n, 10)
	padding := bytes.Repeat([]byte(" "), max(0, len(it.value)-len(answer)))
	it.value = append([]byte(answer), padding...)
	s.set(it)
	return answer
}

// held returns how many bytes the items take.
func (s *store) held() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.bytes
}
