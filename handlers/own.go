package handlers

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

// OwnCall is a call of the lab's user that an op makes instead of its usual one. The lab
// shows only its name and how long it takes.
type OwnCall struct {
	Name  string                        // such as "GET 127.0.0.1:9000/report"
	Alone atomic.Pointer[time.Duration] // how long the call takes alone; nil is not known
}

// alone returns how long the call takes alone, in milliseconds, or nil if that isn't known.
func (o *OwnCall) alone() *float64 {
	d := o.Alone.Load()
	if d == nil {
		return nil
	}
	ms := milliseconds(*d)
	return &ms
}

// About returns the op's sentence for the page. For an own call it has how long the call
// takes.
func (op Op) About() string {
	if op.Own == nil {
		return op.Doc
	}
	if ms := op.Own.alone(); ms != nil {
		return op.Doc + " Alone it takes " + spoken(*ms) + "."
	}
	return op.Doc + " How long it takes alone is not known, as it has not completed yet."
}

// OwnASecond is how many runs of own calls a public lab makes a second, for all its
// visitors together. The limit protects the server of the call, which is outside the lab.
const OwnASecond = 20

var errOwn = errors.New("too many runs of own calls")

// ownRate admits OwnASecond runs in any second.
type ownRate struct {
	mu   sync.Mutex
	last [OwnASecond]time.Time // when the last runs were admitted
	next int                   // the index of the oldest in last
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
