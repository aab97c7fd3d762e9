package handlers

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"runtime"
	"sync"
	"time"

	"gotimeout/internal/receipt"
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

// moment is how the lab is at one.
type moment struct {
	taken time.Time
	At    int64 `json:"at"` // Unix time in milliseconds
	receipt.Counts
	Goroutines int     `json:"goroutines"`
	Backends   []load  `json:"backends"`
	Receipts   []short `json:"receipts"` // the last, the newest first
}

// load is what a backend bears; null is what nobody can see.
type load struct {
	Name        string `json:"name"`
	Connections *int   `json:"connections"` // the lab's that are open
	TimeWait    *int   `json:"time_wait"`
	ForNobody   *int   `json:"for_nobody"` // jobs whose caller has its answer
}

// short is a receipt in brief.
type short struct {
	ID           string          `json:"id"`
	Name         string          `json:"name"`
	Slow         string          `json:"slow"`
	Status       *receipt.Status `json:"status"`
	Answered     *float64        `json:"answered_ms"`
	Ended        *float64        `json:"ended_ms"`
	BackendEnded *float64        `json:"backend_ended_ms"`
	Complete     bool            `json:"complete"`
}

const lastReceipts = 8

// moment looks at the lab. It asks no backend, and disturbs no pool.
func (l *Lab) moment() moment {
	now := time.Now()
	m := moment{
		taken: now, At: now.UnixMilli(), Counts: l.Ledger.Counts(), Goroutines: runtime.NumGoroutine(),
		Backends: l.loads(), Receipts: []short{},
	}
	for _, rc := range l.Ledger.Last(lastReceipts) {
		v := rc.View()
		m.Receipts = append(m.Receipts, short{v.ID, v.Name, v.Slow, v.Status, v.Answered, v.Ended, v.BackendEnded, v.Complete})
	}
	return m
}

func (l *Lab) loads() []load {
	loads := []load{}
	if l.Working == nil {
		return loads
	}
	var names []string
	for _, b := range l.Working() {
		names = append(names, b.Name)
		loads = append(loads, load{Name: b.Name, ForNobody: l.forNobody(b.Working)})
	}
	if l.Kernel == nil {
		return loads
	}
	s, err := l.Kernel.Sockets(names)
	if err != nil {
		return loads // nobody can see them
	}
	for i := range loads {
		for _, b := range s.Backends {
			if b.Name == loads[i].Name {
				open, waits := b.Client["ESTABLISHED"], b.Client["TIME-WAIT"]+b.Server["TIME-WAIT"]
				loads[i].Connections, loads[i].TimeWait = &open, &waits
			}
		}
	}
	return loads
}

// forNobody counts the jobs whose caller has its answer already.
func (l *Lab) forNobody(jobs []Job) *int {
	if jobs == nil {
		return nil
	}
	n := 0
	for _, j := range jobs {
		if rc := l.Ledger.Get(j.Receipt); rc != nil && rc.HasAnswer() {
			n++
		}
	}
	return &n
}

const (
	heartbeat    = 15 * time.Second // proxies cut a stream on which nothing comes
	writeTimeout = 10 * time.Second // for a message, to a caller who may have stopped to read
)

// stream is an answer that goes on: a stream of events, as a browser's
// EventSource reads it.
type stream struct {
	w  http.ResponseWriter
	to *http.ResponseController
}

// newStream begins one.
func newStream(w http.ResponseWriter) *stream {
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no") // nginx would keep events until it has many
	return &stream{w, http.NewResponseController(w)}
}

// send sends a message, each with its own timeout in the place of the server's
// for an answer. Its error means that the caller has left, or reads no more.
func (s *stream) send(message []byte) error {
	_ = s.to.SetWriteDeadline(time.Now().Add(writeTimeout)) // what has no deadline needs none
	if _, err := s.w.Write(message); err != nil {
		return err
	}
	return s.to.Flush()
}

// relay sends messages until there are no more or ctx is done, and a comment
// now and then, so that nobody takes the stream for dead.
func (s *stream) relay(ctx context.Context, messages <-chan []byte) (err error) {
	alive := time.NewTicker(heartbeat)
	defer alive.Stop()
	for err == nil {
		select {
		case next, more := <-messages:
			if !more {
				return nil
			}
			err = s.send(next)
		case <-alive.C:
			err = s.send([]byte(":\n\n"))
		case <-ctx.Done():
			return nil
		}
	}
	return err
}

// message is an event with its data.
func message(event string, data any) []byte {
	var m bytes.Buffer
	m.WriteString("event: " + event + "\ndata: ")
	enc := json.NewEncoder(&m)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(data); err != nil {
		panic(err) // only a type that JSON does not know, which any test finds
	}
	m.WriteByte('\n')
	return m.Bytes()
}

// streaming returns a context that is also done when the lab stops: a server
// that stops waits for its answers, and a stream would go on.
func (l *Lab) streaming(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	if l.Stopping == nil {
		return ctx, cancel
	}
	stop := context.AfterFunc(l.Stopping, cancel)
	return ctx, func() { stop(); cancel() }
}
