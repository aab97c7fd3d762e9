package handlers

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"time"
)

const (
	everyMoment  = time.Second
	keptMoments  = time.Minute // of what was, for who comes new
	maxListeners = 1000
	unread       = 4 // messages, before a listener is dropped
)

// gauges tell how the lab is, once a second, to all who listen.
type gauges struct {
	lab *Lab

	mu        sync.Mutex
	listeners map[chan []byte]struct{}
	stop      func() // the telling, while somebody listens
	moments   []kept // of the last minute, the oldest first
}

// kept is a moment as it is told to who comes new.
type kept struct {
	moment
	brief json.RawMessage // without receipts
}

func newGauges(l *Lab) *gauges {
	return &gauges{lab: l, listeners: map[chan []byte]struct{}{}}
}

// serve tells a listener, until it leaves or doesn't keep up.
func (g *gauges) serve(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodHead {
		newStream(w)
		return
	}
	messages, first := g.join()
	if messages == nil {
		w.Header().Set("Retry-After", "1")
		refuse(w, r, http.StatusServiceUnavailable, "too_many_listeners",
			fmt.Sprintf("%d listen to this lab already, which is all that it allows: try again later", maxListeners))
		return
	}
	defer g.leave(messages)
	ctx, cancel := g.lab.streaming(r.Context())
	defer cancel()
	s := newStream(w)
	if s.send(first) == nil {
		_ = s.relay(ctx, messages) // fails only when the listener has left
	}
}

// join returns a listener's channel and what it is told first. It returns nil
// where there are too many.
func (g *gauges) join() (messages chan []byte, first []byte) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.listeners) == maxListeners {
		return nil, nil
	}
	if n := len(g.moments); n == 0 || time.Since(g.moments[n-1].taken) >= everyMoment {
		g.look()
	}
	if len(g.listeners) == 0 {
		ctx, cancel := context.WithCancel(context.Background())
		g.stop = cancel
		go g.tell(ctx)
	}
	messages = make(chan []byte, unread)
	g.listeners[messages] = struct{}{}
	last := len(g.moments) - 1
	now := struct {
		moment
		History []json.RawMessage `json:"history"`
	}{g.moments[last].moment, []json.RawMessage{}}
	for _, k := range g.moments[:last] {
		now.History = append(now.History, k.brief)
	}
	return messages, append([]byte("retry: 2000\n"), message("now", now)...)
}

func (g *gauges) leave(messages chan []byte) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.remove(messages)
}

// remove removes a listener who may be gone already. The caller has the lock.
func (g *gauges) remove(messages chan []byte) {
	if _, listens := g.listeners[messages]; !listens {
		return
	}
	delete(g.listeners, messages)
	if len(g.listeners) == 0 {
		g.stop()
	}
}

// tell looks and tells once a second, until nobody listens any more.
func (g *gauges) tell(ctx context.Context) {
	tick := time.NewTicker(everyMoment)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			g.tellAll()
		case <-ctx.Done():
			return
		}
	}
}

// tellAll makes one message for all. Who has not read the last ones is dropped,
// and not waited for.
func (g *gauges) tellAll() {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := message("now", g.look())
	for messages := range g.listeners {
		select {
		case messages <- now:
		default:
			g.remove(messages)
			close(messages)
		}
	}
}

// look takes a moment, and forgets those of more than a minute ago. The caller
// has the lock.
func (g *gauges) look() moment {
	m := g.lab.moment()
	for len(g.moments) > 0 && m.taken.Sub(g.moments[0].taken) > keptMoments {
		g.moments = g.moments[1:]
	}
	brief := m
	brief.Receipts = []short{}
	text, err := json.Marshal(brief)
	if err != nil {
		panic(err) // as message does
	}
	g.moments = append(g.moments, kept{m, text})
	return m
}
