package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"gotimeout/handlers"
	dbbackend "gotimeout/internal/backends/db"
	"gotimeout/internal/receipt"
	"gotimeout/slowops"

	"github.com/go-sql-driver/mysql"
)

// lookEvery is the resolution with which the end of a query in a real database
// is seen.
const lookEvery = 10 * time.Millisecond

// look watches a real database's process list, past the network: what is seen
// late there would be counted as waste.
func (b *bench) look(p *part, cfg *mysql.Config) (err error) {
	via := ""
	if b.network != nil {
		if via, err = b.network.Direct(cfg.Net, cfg.Addr); err != nil {
			return err
		}
	}
	op := slowops.NewMySQL(cfg, 1) // of its own, so that no run waits for it, and it for none
	op.Via = via
	looks, err := op.DB()
	if err != nil {
		return fmt.Errorf("--db-dsn (MYSQL_DSN) can't be used: %w", err)
	}
	b.list = dbbackend.NewProcessList(looks, lookEvery)
	p.do = b.watched(b.db.Do)
	b.closes = append(b.closes, func() { b.list.Close(); looks.Close() })
	return nil
}

// watched reports the backend's end of calls on a real database: with the
// answer, or when the query has left the process list. A query that was never
// sent has no backend.
func (b *bench) watched(do func(context.Context, slowops.Call) error) func(context.Context, slowops.Call) error {
	return func(ctx context.Context, c slowops.Call) error {
		defer b.queried.begin(c.Run)()
		err := do(ctx, c)
		if errors.Is(err, slowops.ErrNotSent) {
			return err
		}
		b.tell(c.Run, (*receipt.Receipt).BackendBegan)
		if err == nil {
			b.tell(c.Run, (*receipt.Receipt).BackendEnded)
			return nil
		}
		b.list.Watch(c.Run, func(known bool) {
			if known {
				b.tell(c.Run, (*receipt.Receipt).BackendEnded)
			} else {
				b.tell(c.Run, (*receipt.Receipt).BackendLost)
			}
		})
		return err
	}
}

// working returns what each backend is working on, without asking it. Of a real
// database that is what the process list is watched for, and the calls that
// have not returned.
func (b *bench) working() []handlers.Backend {
	all := make([]handlers.Backend, len(b.parts))
	for i, p := range b.parts {
		all[i].Name = p.name
		switch {
		case p.server != nil:
			all[i].Working = p.working()
		case p.name == "db":
			all[i].Working = b.queries()
		}
	}
	return all
}

// queries are those of runs on a real database.
func (b *bench) queries() []handlers.Job {
	runs := append(b.queried.list(), b.list.Watched()...)
	slices.Sort(runs) // a call that was just watched is in both
	jobs := []handlers.Job{}
	for _, run := range slices.Compact(runs) {
		if run != healthRun {
			jobs = append(jobs, handlers.Job{Receipt: run})
		}
	}
	return jobs
}

// underWay are the runs whose call of a real database has not returned.
type underWay struct {
	mu   sync.Mutex
	runs map[string]int
}

func (u *underWay) begin(run string) (end func()) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.runs == nil {
		u.runs = map[string]int{}
	}
	u.runs[run]++
	return func() {
		u.mu.Lock()
		defer u.mu.Unlock()
		if u.runs[run]--; u.runs[run] == 0 {
			delete(u.runs, run)
		}
	}
}

func (u *underWay) list() []string {
	u.mu.Lock()
	defer u.mu.Unlock()
	return slices.Collect(maps.Keys(u.runs))
}
