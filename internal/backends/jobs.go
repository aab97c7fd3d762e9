package backends

import (
	"maps"
	"slices"
	"sync"
	"time"
)

// Job is a piece of work that a backend is doing.
type Job struct {
	Run   string    `json:"run"`  // the tag it carries, or ""
	Work  string    `json:"work"` // "GET /delay/5", "get delay/300ms", the SQL text
	Began time.Time `json:"began"`
}

// ledger keeps the jobs in progress and reports those of a run.
type ledger struct {
	began, ended func(run string)

	mu   sync.Mutex
	last uint64
	open map[uint64]Job // by number, in the order they began
}

// begin enters a job. The caller must call end exactly once, when the work has stopped.
func (l *ledger) begin(run, work string) (end func()) {
	l.mu.Lock()
	l.last++
	n := l.last
	l.open[n] = Job{Run: run, Work: work, Began: time.Now()}
	l.mu.Unlock()

	report(l.began, run)
	return func() {
		l.mu.Lock()
		delete(l.open, n)
		l.mu.Unlock()
		report(l.ended, run)
	}
}

func report(to func(run string), run string) {
	if to != nil && run != "" {
		to(run)
	}
}

func (l *ledger) list() []Job {
	l.mu.Lock()
	defer l.mu.Unlock()
	jobs := make([]Job, 0, len(l.open))
	for _, n := range slices.Sorted(maps.Keys(l.open)) {
		jobs = append(jobs, l.open[n])
	}
	return jobs
}
