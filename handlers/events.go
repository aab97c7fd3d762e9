package handlers

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"runtime"
	"sync"
	"time"

	"gotimeout/internal/receipt"
)

const (
	snapshotEvery = time.Second
	historyLength = time.Minute // a new listener gets the snapshots of that time
	unreadEvents  = 4           // a listener with more of them is disconnected
)

// broadcaster sends a snapshot of the lab to all listeners, once a second.
type broadcaster struct {
	lab *Lab

	mu        sync.Mutex
	listeners map[chan []byte]struct{}
	stop      func()         // ends run; it runs while there are listeners
	history   []pastSnapshot // the snapshots of the last minute, the oldest first
}

// pastSnapshot is a snapshot, and the part of it that a new listener gets.
type pastSnapshot struct {
	snapshot
	brief json.RawMessage // the snapshot without its receipts
}

func newBroadcaster(l *Lab) *broadcaster {
	return &broadcaster{lab: l, listeners: map[chan []byte]struct{}{}}
}

// serve sends snapshots to a listener until it leaves or does not keep up.
func (b *broadcaster) serve(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodHead {
		newStream(w, eventStream)
		return
	}
	messages, first := b.join()
	defer b.leave(messages)
	ctx, cancel := b.lab.streaming(r.Context())
	defer cancel()
	s := newStream(w, eventStream)
	if s.send(first) == nil {
		_ = s.relay(ctx, messages) // fails only when the listener has left
	}
}

// join returns the channel of a new listener and the first event for it.
func (b *broadcaster) join() (messages chan []byte, first []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if n := len(b.history); n == 0 || time.Since(b.history[n-1].taken) >= snapshotEvery {
		b.take()
	}
	if len(b.listeners) == 0 {
		ctx, cancel := context.WithCancel(context.Background())
		b.stop = cancel
		go b.run(ctx)
	}
	messages = make(chan []byte, unreadEvents)
	b.listeners[messages] = struct{}{}
	last := len(b.history) - 1
	now := struct {
		snapshot
		History []json.RawMessage `json:"history"`
	}{b.history[last].snapshot, []json.RawMessage{}}
	for _, k := range b.history[:last] {
		now.History = append(now.History, k.brief)
	}
	return messages, append([]byte("retry: 2000\n"), event("now", now)...)
}

func (b *broadcaster) leave(messages chan []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.remove(messages)
}

// remove removes a listener, unless it is removed already. The caller holds the lock.
func (b *broadcaster) remove(messages chan []byte) {
	if _, listens := b.listeners[messages]; !listens {
		return
	}
	delete(b.listeners, messages)
	if len(b.listeners) == 0 {
		b.stop()
	}
}

// run sends a snapshot once a second until ctx is done, when the last listener has left.
func (b *broadcaster) run(ctx context.Context) {
	tick := time.NewTicker(snapshotEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			b.send()
		case <-ctx.Done():
			return
		}
	}
}

// send sends one snapshot to all listeners. It does not wait for a listener that has
// not read the last events, but disconnects it.
func (b *broadcaster) send() {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := event("now", b.take())
	for messages := range b.listeners {
		select {
		case messages <- now:
		default:
			b.remove(messages)
			close(messages)
		}
	}
}

// take takes a snapshot and drops those older than a minute. The caller holds the lock.
func (b *broadcaster) take() snapshot {
	m := b.lab.snapshot()
	for len(b.history) > 0 && m.taken.Sub(b.history[0].taken) > historyLength {
		b.history = b.history[1:]
	}
	brief := m
	brief.Receipts = []receiptBrief{}
	text, err := json.Marshal(brief)
	if err != nil {
		panic(err) // as event does
	}
	b.history = append(b.history, pastSnapshot{m, text})
	return m
}

// snapshot is the state of the lab at one time.
type snapshot struct {
	taken time.Time
	At    int64 `json:"at"` // Unix time in milliseconds
	receipt.Counts
	Goroutines int            `json:"goroutines"`
	Backends   []backendLoad  `json:"backends"`
	Receipts   []receiptBrief `json:"receipts"` // the last, the newest first
}

// backendLoad is the load of a backend; null is unknown.
type backendLoad struct {
	Name        string `json:"name"`
	Connections *int   `json:"connections"` // open connections of the lab
	TimeWait    *int   `json:"time_wait"`
	ForNobody   *int   `json:"for_nobody"` // jobs whose caller has its answer
}

// receiptBrief is a receipt in brief.
type receiptBrief struct {
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

// snapshot returns the state of the lab. It asks no backend, so it disturbs no
// connection pool.
func (l *Lab) snapshot() snapshot {
	now := time.Now()
	m := snapshot{
		taken: now, At: now.UnixMilli(), Counts: l.Ledger.Counts(), Goroutines: runtime.NumGoroutine(),
		Backends: l.loads(), Receipts: []receiptBrief{},
	}
	for _, rc := range l.Ledger.Last(lastReceipts) {
		v := rc.View()
		m.Receipts = append(m.Receipts, receiptBrief{v.ID, v.Name, v.Slow, v.Status, v.Answered, v.Ended, v.BackendEnded, v.Complete})
	}
	return m
}

func (l *Lab) loads() []backendLoad {
	loads := []backendLoad{}
	if l.Working == nil {
		return loads
	}
	var names []string
	for _, b := range l.Working() {
		names = append(names, b.Name)
		loads = append(loads, backendLoad{Name: b.Name, ForNobody: l.forNobody(b.Working)})
	}
	if l.Kernel == nil {
		return loads
	}
	s, err := l.Kernel.Sockets(names)
	if err != nil {
		return loads // unknown
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

// forNobody counts the jobs whose caller already has its answer.
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
	eventStream  = "text/event-stream"
	heartbeat    = 15 * time.Second // proxies close an idle stream
	writeTimeout = 10 * time.Second // for an event, because the caller may have stopped reading
)

// stream is an answer that goes on, such as one of server-sent events, as a browser's
// EventSource reads them.
type stream struct {
	w  http.ResponseWriter
	to *http.ResponseController
}

// newStream begins the answer.
func newStream(w http.ResponseWriter, contentType string) *stream {
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("X-Accel-Buffering", "no") // nginx would buffer the events
	return &stream{w, http.NewResponseController(w)}
}

// send sends an event with a write deadline of its own instead of the server's. Its
// error means that the caller has left or reads no more.
func (s *stream) send(message []byte) error {
	_ = s.to.SetWriteDeadline(time.Now().Add(writeTimeout)) // a writer without deadlines needs none
	if _, err := s.w.Write(message); err != nil {
		return err
	}
	return s.to.Flush()
}

// Write is send, for an io.Writer.
func (s *stream) Write(b []byte) (int, error) {
	if err := s.send(b); err != nil {
		return 0, err
	}
	return len(b), nil
}

// relay sends events until there are no more or ctx is done, and a comment now and
// then, so that no proxy takes the stream for idle.
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

// event returns a server-sent event with its data.
func event(name string, data any) []byte {
	var m bytes.Buffer
	m.WriteString("event: " + name + "\ndata: ")
	enc := json.NewEncoder(&m)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(data); err != nil {
		panic(err) // only for a type that has no JSON, which any test finds
	}
	m.WriteByte('\n')
	return m.Bytes()
}

// streaming returns a context that is also done when the lab stops: a server that
// stops waits for its answers, and a stream would not end by itself.
func (l *Lab) streaming(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	if l.Stopping == nil {
		return ctx, cancel
	}
	stop := context.AfterFunc(l.Stopping, cancel)
	return ctx, func() { stop(); cancel() }
}
