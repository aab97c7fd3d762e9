package handlers

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"sync"

	"gotimeout/internal/receipt"
	"gotimeout/strategies"
)

const (
	maxTimes = 100 // runs of a strategy in a race
	batch    = 20  // of them, in flight at once
)

// race runs every strategy at once on the same op, and tells of each run what
// becomes known of it, when it does.
func (l *Lab) race(w http.ResponseWriter, r *http.Request) {
	p, times, err := l.parseRace(r.URL.RawQuery)
	if err != nil {
		badParameter(w, r, err)
		return
	}
	s := newStream(w)
	if r.Method == http.MethodHead {
		return
	}
	ctx, cancel := l.streaming(r.Context())
	defer cancel()
	ctx, cancel = context.WithTimeoutCause(ctx, l.Longest()+lateness, errLongest)
	defer cancel()

	if s.send(message("start", l.startOf(r, p, times))) != nil {
		return
	}
	messages := make(chan []byte)
	go l.lanes(ctx, p, times, messages)
	if s.relay(ctx, messages) == nil {
		_ = s.send(message("done", struct{}{})) // fails only when the caller has left
	}
}

func (l *Lab) parseRace(raw string) (p params, times int, err error) {
	q, err := query(raw, append(slices.Clone(ofARun), "times")...)
	if err != nil {
		return p, 0, err
	}
	times = 1
	if text, given := q["times"]; given {
		times, err = strconv.Atoi(text)
		if err != nil || times < 1 || times > maxTimes {
			return p, 0, fmt.Errorf("times=%.20s is no number from 1 to %d", text, maxTimes)
		}
	}
	if p, err = l.params(q); err == nil {
		err = p.phases.refused() // not every strategy has the client bound itself
	}
	return p, times, err
}

// lanes runs a race, and closes messages when nothing of it goes on any more.
func (l *Lab) lanes(ctx context.Context, p params, times int, messages chan<- []byte) {
	defer close(messages)
	var all sync.WaitGroup
	for _, s := range l.suitable(p) {
		all.Go(func() { l.lane(ctx, s, p, times, messages) })
	}
	all.Wait()
}

// lane runs a strategy so many times, in batches: the next begins when all of
// one are answered. What they have left behind goes on beside it.
func (l *Lab) lane(ctx context.Context, s strategies.Strategy, p params, times int, messages chan<- []byte) {
	var watched sync.WaitGroup
	for first := 1; first <= times && ctx.Err() == nil; first += batch {
		var answered sync.WaitGroup
		for n := first; n < first+batch && n <= times; n++ {
			answered.Go(func() {
				rc, err := l.execute(ctx, s, p)
				watched.Go(func() {
					if err != nil {
						send(ctx, messages, message("run", raceRunOf(refusedRow(s, err), n, p.op)))
						return
					}
					l.watch(ctx, rc, n, p.op, messages)
				})
			})
		}
		answered.Wait()
	}
	watched.Wait()
}

// watch tells of a run until it is complete.
func (l *Lab) watch(ctx context.Context, rc *receipt.Receipt, n int, op Op, messages chan<- []byte) {
	var last []byte
	for complete := false; !complete && ctx.Err() == nil; {
		changed := rc.Changed() // before the look, so that none is missed
		v := l.resolved(rc)
		next := message("run", raceRunOf(v, n, op))
		if !bytes.Equal(next, last) {
			send(ctx, messages, next)
		}
		last, complete = next, v.Complete
		if !complete {
			select {
			case <-changed:
			case <-ctx.Done():
			}
		}
	}
}

func send(ctx context.Context, messages chan<- []byte, m []byte) {
	select {
	case messages <- m:
	case <-ctx.Done():
	}
}
