package handlers

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

// OwnCall is a call of whoever started the lab, which an op makes instead of its own.
// Nothing of the call is shown but its name and how long it takes.
type OwnCall struct {
	Name  string                        // as "GET 127.0.0.1:9000/report"
	Alone atomic.Pointer[time.Duration] // what the call takes while nothing else goes on; nil is not known
}

// alone is what the call takes alone, in milliseconds, nil where that isn't known.
func (o *OwnCall) alone() *float64 {
	d := o.Alone.Load()
	if d == nil {
		return nil
	}
	ms := milliseconds(*d)
	return &ms
}

// About is the op's sentence for the page. Of an own call it says how long that takes.
func (op Op) About() string {
	if op.Own == nil {
		return op.Doc
	}
	if ms := op.Own.alone(); ms != nil {
		return op.Doc + " Alone it takes " + spoken(*ms) + "."
	}
	return op.Doc + " How long it takes alone is not known, as it has not completed yet."
}

// OwnASecond is how many runs of own calls a public lab makes in a second, for all of
// its visitors together: the server of such a call is no part of the lab.
const OwnASecond = 20

var errOwn = errors.New("too many runs of own calls")

// ownRate admits OwnASecond runs in any second.
type ownRate struct {
	mu   sync.Mutex
	last [OwnASecond]time.Time // when the last runs were admitted
	next int                   // the oldest of last
}

func (r *ownRate) admits(now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if now.Sub(r.last[r.next]) < time.Second {
		return false
	}
	r.last[r.next] = now
	r.next = (r.next + 1) % OwnASecond
	return true
}

// mayCall reports whether a run of op may be made now.
func (l *Lab) mayCall(op *Op) bool {
	return !l.Public || op.Own == nil && !op.MakesOwn || l.own.admits(time.Now())
}
