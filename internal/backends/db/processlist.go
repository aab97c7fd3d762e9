package dbbackend

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"sync"
	"time"
)

// lookSQL lists the queries of all runs, without itself, and the sessions whose query the server did not show: MariaDB shows
// the state Busy and no query for a session that it can't lock. MySQL and MariaDB know the statement, and so does the database of
// [Start].
const lookSQL = "SELECT ID, STATE, INFO FROM information_schema.processlist WHERE (INFO LIKE '%gotimeout run=%' OR STATE = 'Busy') AND ID <> CONNECTION_ID()"

// lookTimeout bounds one read of the list, so that a server that does not answer is an error.
const lookTimeout = 5 * time.Second

// ProcessList watches a real server's process list for the queries of runs. It needs the privilege PROCESS to see
// those of other users.
type ProcessList struct {
	db    *sql.DB
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
// the interval and the round trip of a read. db should be a pool of its own: a read that waits for a connection behind the
// watched queries is late.
func NewProcessList(db *sql.DB, every time.Duration) *ProcessList {
	ctx, cancel := context.WithCancel(context.Background())
	return &ProcessList{db: db, every: every, ctx: ctx, cancel: cancel}
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

// Close stops reading, reports ended(false) for each query that was left, and returns after that. It leaves db open.
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
		sessions, err := p.look()
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

// sessions is the result of one read of the list.
type sessions struct {
	of   map[string]int64 // the session of each run's query
	busy map[int64]bool   // the sessions whose query was not shown
}

func (p *ProcessList) look() (s sessions, err error) {
	ctx, cancel := context.WithTimeout(p.ctx, lookTimeout)
	defer cancel()
	rows, err := p.db.QueryContext(ctx, lookSQL)
	if err != nil {
		return s, fmt.Errorf("read the process list: %w", err)
	}
	defer rows.Close()
	s = sessions{map[string]int64{}, map[int64]bool{}}
	for rows.Next() {
		var id int64
		var state, info sql.NullString
		if err := rows.Scan(&id, &state, &info); err != nil {
			return s, fmt.Errorf("read the process list: %w", err)
		}
		if run := runTag(info.String); run != "" {
			s.of[run] = id
		} else if state.String == "Busy" {
			s.busy[id] = true
		}
	}
	return s, rows.Err()
}

// unclear reports whether the query may run in a session whose query was not shown.
func (s sessions) unclear(q *Query) bool {
	if q.seen {
		return s.busy[q.session]
	}
	return len(s.busy) > 0
}

// settle stops watching the due queries that have ended, or after an error all queries that were left, and returns them. took is
// how long the read took.
func (p *ProcessList) settle(due []*Query, s sessions, err error, took time.Duration) (ended []*Query) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	for _, q := range due {
		id, shown := s.of[q.run]
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
