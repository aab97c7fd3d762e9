package backends

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"
)

// RunTag returns the ID in "gotimeout run=ID", which reaches to a space or the comment's end, or "".
func RunTag(text string) string {
	_, rest, _ := strings.Cut(text, "gotimeout run=")
	if end := strings.IndexAny(rest, " \t\r\n*"); end >= 0 {
		rest = rest[:end]
	}
	return rest
}

// Look reads a server's list of queries once.
type Look func(context.Context) (Sessions, error)

// Sessions is the result of one read of a server's list.
type Sessions struct {
	Of   map[string]int64 // the session of each run's query
	Busy map[int64]bool   // the sessions whose query was not shown
}

// lookTimeout bounds one read of the list, so that a server that does not answer is an error.
const lookTimeout = 5 * time.Second

// ProcessList watches a real server's list of queries, which Look reads, for the queries of runs.
type ProcessList struct {
	look  Look
	every time.Duration

	ctx     context.Context // done once Close was called
	cancel  context.CancelFunc
	polling sync.WaitGroup

	mu      sync.Mutex
	active  bool // a goroutine is polling
	closed  bool
	queries []*Query
}

// Query is the query of one call of a run, from [ProcessList.Query] until its end is known.
type Query struct {
	list *ProcessList
	run  string

	seen    bool
	session int64     // the session in which the query was last seen
	missed  time.Time // when the list first did not show the query, since it last did; zero where it shows the query

	// Set by Left.
	ended func(at time.Time, known bool)
	until time.Time // the time from which a query that was not seen can no longer be on its way
	lossy bool      // the network may lose packets
}

// Way describes the network between a query and the database.
type Way struct {
	InTransit time.Duration // how long a query may be on its way, unless packets are lost
	Lossy     bool          // packets may be lost
}

// NewProcessList returns a list that is read at the interval every while a query is watched. The ends that it finds are exact to
// the interval and the round trip of a read. look should have a pool of its own: a read that waits for a connection behind
// the watched queries is late.
func NewProcessList(look Look, every time.Duration) *ProcessList {
	ctx, cancel := context.WithCancel(context.Background())
	return &ProcessList{look: look, every: every, ctx: ctx, cancel: cancel}
}

// Query begins to watch for a query with the comment "gotimeout run=ID". Call it before the query is sent, and then one of the
// methods of Query. For a query that ends within the interval the list is not read.
func (p *ProcessList) Query(run string) *Query {
	q := &Query{list: p, run: run}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return q
	}
	p.queries = append(p.queries, q)
	if !p.active {
		p.active = true
		p.polling.Go(p.poll)
	}
	return q
}

// NotSent ends the watch for a query that was never sent.
func (q *Query) NotSent() { q.Answered() }

// Answered ends the watch for a query whose answer has come, and returns when the query ended: when the list first did not
// show it any longer, which on a slow network is before its answer came, or else now.
func (q *Query) Answered() time.Time {
	q.list.mu.Lock()
	defer q.list.mu.Unlock()
	q.list.remove(q)
	if q.seen && !q.missed.IsZero() {
		return q.missed
	}
	return time.Now()
}

// Left is for a query whose caller has left without its answer. It calls ended once, with the time when the list first did not
// show the query; or with known false when the list cannot be read, or is closed. ended must not block.
//
// One read is no proof of an end, so two reads in a row decide. A query that was never seen may still be on its way: it has
// ended where the list has not shown it for way.InTransit, and for twice as long as a read takes. On a way that loses packets
// its end is not known: TCP sends a lost packet again, each time after a longer wait.
func (q *Query) Left(way Way, ended func(at time.Time, known bool)) {
	q.list.mu.Lock()
	closed := q.list.closed
	if closed {
		q.list.remove(q)
	} else {
		q.ended, q.until, q.lossy = ended, time.Now().Add(way.InTransit), way.Lossy
		if !q.seen {
			q.missed = time.Time{}
		}
	}
	q.list.mu.Unlock()
	if closed {
		ended(time.Now(), false)
	}
}

func (p *ProcessList) remove(q *Query) {
	p.queries = slices.DeleteFunc(p.queries, func(other *Query) bool { return other == q })
}

// Runs returns the runs of the queries that are watched.
func (p *ProcessList) Runs() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	runs := make([]string, len(p.queries))
	for i, q := range p.queries {
		runs[i] = q.run
	}
	return runs
}

// Close stops reading, reports ended(false) for each query that was left, and returns after that.
func (p *ProcessList) Close() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.cancel()
	p.polling.Wait()
}

// poll reads the list until no query is watched.
func (p *ProcessList) poll() {
	ticker := time.NewTicker(p.every)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-p.ctx.Done():
		}
		due := p.due()
		if len(due) == 0 {
			return
		}
		began := time.Now()
		ctx, cancel := context.WithTimeout(p.ctx, lookTimeout)
		sessions, err := p.look(ctx)
		cancel()
		for _, q := range p.settle(due, sessions, err, time.Since(began)) {
			q.ended(q.missed, err == nil && (q.seen || !q.lossy))
		}
	}
}

// due returns the queries that the next read decides on. A query that is added after that read has begun may itself have begun
// after it. Once the list is closed only those that were left are due.
func (p *ProcessList) due() []*Query {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		p.queries = slices.DeleteFunc(p.queries, func(q *Query) bool { return q.ended == nil })
	}
	p.active = len(p.queries) > 0
	return slices.Clone(p.queries)
}

// unclear reports whether the query may run in a session whose query was not shown.
func (s Sessions) unclear(q *Query) bool {
	if q.seen {
		return s.Busy[q.session]
	}
	return len(s.Busy) > 0
}

// settle stops watching the due queries that have ended, or after an error all queries that were left, and returns them. took is
// how long the read took.
func (p *ProcessList) settle(due []*Query, s Sessions, err error, took time.Duration) (ended []*Query) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	for _, q := range due {
		id, shown := s.Of[q.run]
		over := false
		switch {
		case !slices.Contains(p.queries, q): // the query was answered meanwhile
			continue
		case err != nil:
			over, q.missed = true, now
		case shown:
			q.seen, q.session, q.missed = true, id, time.Time{}
		case s.unclear(q):
		case q.missed.IsZero():
			q.missed = now
		default:
			over = q.seen || now.After(q.until.Add(2*took))
		}
		if over && q.ended != nil {
			ended = append(ended, q)
			p.remove(q)
		}
	}
	return ended
}
