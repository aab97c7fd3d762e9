package dbbackend

import (
	"context"
	"database/sql"
	"fmt"
	"sync"
	"time"
)

// lookSQL finds every query of every run, but not itself. MySQL and MariaDB both know it, and so does [Start]'s database.
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

type watch struct {
	run   string
	ended func(known bool)
}

// NewProcessList returns a list that looks every so often, and only while something is watched. That interval, and the
// round trip of a look, is the resolution of what it finds. db should be a pool of its own: a look that waits for a connection
// behind the very queries that it looks for is late.
func NewProcessList(db *sql.DB, every time.Duration) *ProcessList {
	ctx, cancel := context.WithCancel(context.Background())
	return &ProcessList{db: db, every: every, ctx: ctx, cancel: cancel}
}

// Watch calls ended once: ended(true) at the first look that no longer shows the comment "gotimeout run=ID" in any query,
// ended(false) when the list cannot be read, or is closed. ended must not block. Call Watch after the query was sent: a run
// that is not in the list has ended.
func (p *ProcessList) Watch(run string, ended func(known bool)) {
	if !p.add(watch{run: run, ended: ended}) {
		ended(false)
	}
}

// Watched returns the runs that are watched: their queries have not ended, as far as the last look has shown.
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

// Close stops looking, reports ended(false) of what is still watched, and returns when that is done. It leaves db open.
func (p *ProcessList) Close() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.cancel()
	p.polling.Wait()
}

// poll looks until nothing is watched any more.
func (p *ProcessList) poll() {
	ticker := time.NewTicker(p.every)
	defer ticker.Stop()
	for {
		// A run that is watched only after this look has begun may have begun after it too: the next look decides.
		p.mu.Lock()
		n := len(p.watched)
		if n == 0 {
			p.active = false
			p.mu.Unlock()
			return
		}
		p.mu.Unlock()

		running, err := p.look()
		for _, w := range p.settle(n, running, err) {
			w.ended(err == nil)
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

// settle takes out, of the first n watched, those that have ended, or all of these after an error.
func (p *ProcessList) settle(n int, running map[string]bool, err error) (ended []watch) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var left []watch
	for i, w := range p.watched {
		if i < n && (err != nil || !running[w.run]) {
			ended = append(ended, w)
		} else {
			left = append(left, w)
		}
	}
	p.watched = left
	return ended
}
