package dbbackend

import (
	"context"
	"database/sql"
	"fmt"
	"sync"
	"time"
)

// lookSQL lists the queries of all runs, without itself. MySQL and MariaDB know it, and so does the database of [Start].
const lookSQL = "SELECT INFO FROM information_schema.processlist WHERE INFO LIKE '%gotimeout run=%' AND ID <> CONNECTION_ID()"

// lookTimeout bounds one look, so that a server that does not answer is an error.
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
	watched []watch
}

// Way is what lies between a query and the database.
type Way struct {
	InTransit time.Duration // a query that was sent so long ago has come, unless packets are lost
	Lossy     bool          // packets may be lost
}

type watch struct {
	run   string
	until time.Time // when a query that was not seen can no longer be on its way
	lossy bool      // the way loses packets
	ended func(at time.Time, known bool)

	seen   bool
	missed time.Time // when the list first did not show the query, since it last did; zero where it shows the query
}

// NewProcessList returns a list that is read at that interval, while a run is watched. The resolution of what it finds is the
// interval and the round trip of a read. db should be a pool of its own: a read that waits for a connection behind the queries
// that it looks for is late.
func NewProcessList(db *sql.DB, every time.Duration) *ProcessList {
	ctx, cancel := context.WithCancel(context.Background())
	return &ProcessList{db: db, every: every, ctx: ctx, cancel: cancel}
}

// Watch calls ended once, when the list no longer shows the comment "gotimeout run=ID" in any query, with the time when it
// first did not; or with known false when the list cannot be read, or is closed. ended must not block.
//
// Call Watch after the query was sent. One read is no proof of an end: the server leaves out the text of a query whose session
// is busy, so two reads in a row decide. And a query that was never seen may still be on its way: it has ended where the list
// has not shown it for way.InTransit, and for twice as long as a read takes. On a way that loses packets its end is not known:
// TCP sends a lost packet again, each time after a longer wait.
func (p *ProcessList) Watch(run string, way Way, ended func(at time.Time, known bool)) {
	if !p.add(watch{run: run, until: time.Now().Add(way.InTransit), lossy: way.Lossy, ended: ended}) {
		ended(time.Now(), false)
	}
}

// Watched returns the runs that are watched: at the last read their queries had not ended.
func (p *ProcessList) Watched() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	runs := make([]string, len(p.watched))
	for i, w := range p.watched {
		runs[i] = w.run
	}
	return runs
}

// add reports false once the list is closed.
func (p *ProcessList) add(w watch) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return false
	}
	p.watched = append(p.watched, w)
	if !p.active {
		p.active = true
		p.polling.Go(p.poll)
	}
	return true
}

// Close stops reading, reports ended(false) for each run that is still watched, and returns after that. It leaves db open.
func (p *ProcessList) Close() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.cancel()
	p.polling.Wait()
}

// poll reads the list until no run is watched.
func (p *ProcessList) poll() {
	ticker := time.NewTicker(p.every)
	defer ticker.Stop()
	for {
		// A run that is added after this read has begun may itself have begun after the read: the next read decides.
		p.mu.Lock()
		n := len(p.watched)
		if n == 0 {
			p.active = false
			p.mu.Unlock()
			return
		}
		p.mu.Unlock()

		began := time.Now()
		running, err := p.look()
		for _, w := range p.settle(n, running, err, time.Since(began)) {
			w.ended(w.missed, err == nil && (w.seen || !w.lossy))
		}
		select {
		case <-ticker.C:
		case <-p.ctx.Done():
		}
	}
}

// look returns the runs that have a query in the list.
func (p *ProcessList) look() (map[string]bool, error) {
	ctx, cancel := context.WithTimeout(p.ctx, lookTimeout)
	defer cancel()
	rows, err := p.db.QueryContext(ctx, lookSQL)
	if err != nil {
		return nil, fmt.Errorf("read the process list: %w", err)
	}
	defer rows.Close()
	running := map[string]bool{}
	for rows.Next() {
		var info string
		if err := rows.Scan(&info); err != nil {
			return nil, fmt.Errorf("read the process list: %w", err)
		}
		running[runTag(info)] = true
	}
	return running, rows.Err()
}

// settle removes from the first n watched runs those that have ended, or all n after an error. took is how long the read took.
func (p *ProcessList) settle(n int, running map[string]bool, err error, took time.Duration) (ended []watch) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	var remaining []watch
	for i, w := range p.watched {
		over := false
		switch {
		case i >= n:
		case err != nil:
			over, w.missed = true, now
		case running[w.run]:
			w.seen, w.missed = true, time.Time{}
		case w.missed.IsZero():
			w.missed = now
		default:
			over = w.seen || now.After(w.until.Add(2*took))
		}
		if over {
			ended = append(ended, w)
		} else {
			remaining = append(remaining, w)
		}
	}
	p.watched = remaining
	return ended
}
