package handlers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"gotimeout/internal/jobs"
	"gotimeout/internal/receipt"
	"gotimeout/internal/wire"
	"gotimeout/strategies"

	"github.com/go-chi/chi/v5"
)

// Queue has runs made by workers, in this process or in another.
type Queue interface {
	// Put returns when the queue has stored the run, of a query, as the job of that ID. ended is
	// called once if Put returns nil: with the receipt of the run, or nil where there is none.
	Put(ctx context.Context, id, query string, ended func(*receipt.View)) error
	// Health returns whether a run can be put now, and whether anybody has used the queue.
	Health() (h Health, used bool)
	// Job returns a job, or jobs.ErrUnknown.
	Job(ctx context.Context, id string) (jobs.Job, error)
}

// offload puts a run into the queue, and returns the receipt, which is open until the job has ended.
func (l *Lab) offload(ctx context.Context, s strategies.Strategy, p params) (*receipt.Receipt, error) {
	run := l.runOf(ctx, s, p)
	run.Ops, run.Backends, run.Seen, run.Elsewhere = 1, 0, true, true
	rc, err := l.Ledger.Open(run)
	if err != nil {
		return nil, err
	}
	ctx = l.trace(ctx, rc)
	err = l.doRecovered(ctx, s, p, []strategies.Op{func(ctx context.Context) error {
		return l.Queue.Put(ctx, rc.ID(), p.query(), func(v *receipt.View) {
			if v != nil && v.BackendEnded != nil {
				rc.BackendBegan()
				rc.BackendEnded()
			}
			rc.OpEnded()
		})
	}})
	status, failure := receipt.Accepted, (*receipt.Error)(nil)
	if err != nil {
		rc.OpEnded()
		status, failure = outcome(ctx, s, p.timeout, err)
	}
	switch {
	case errors.Is(err, jobs.ErrFull):
		status, failure = receipt.Refused, &receipt.Error{Code: "queue_full", Message: fmt.Sprintf("the queue has all the %d jobs that it may have: try again when some have ended", jobs.MaxQueued)}
	case errors.Is(err, jobs.ErrDisk):
		status, failure = receipt.Refused, &receipt.Error{Code: "queue_disk", Message: "the disk of the queue is full or fails, so this run was not accepted: try again when /readyz says that it is ready"}
	}
	rc.Answered(status, failure)
	l.logAnswer(ctx, rc, status, failure)
	return rc, nil
}

// otherLabs is the client of jobs that other labs have accepted; it has no address's name.
const otherLabs = "other labs"

// refusedAgain is how long a worker waits after the ledger has refused a run.
const refusedAgain = 50 * time.Millisecond

// Work makes the run of the job of that ID, without a bound but the lab's own, and returns the end of the job: its
// complete receipt, or why there is none. It returns nil if ctx ends first: a deaf run then goes on until
// its backend is closed.
func (l *Lab) Work(ctx context.Context, id, query string) json.RawMessage {
	made := make(chan json.RawMessage, 1)
	go func() { made <- l.work(ctx, id, query) }()
	select {
	case end := <-made:
		return end
	case <-ctx.Done():
		return nil
	}
}

func (l *Lab) work(ctx context.Context, id, query string) json.RawMessage {
	var s strategies.Strategy
	for _, s = range l.Strategies {
		if s.Outside == strategies.InQueue {
			break
		}
	}
	s.Outside, s.Unbounded, s.Do = strategies.InProcess, true, strategies.Baseline{}.Do
	p, err := l.parse(strategies.Strategy{}, query)
	if err != nil {
		return encoded(wire.JobEnd{Error: &receipt.Error{Code: "bad_parameter", Message: "the worker's lab can't make this run: " + err.Error()}})
	}
	p.job = id
	client := otherLabs
	if rc := l.Ledger.Get(id); rc != nil {
		client = rc.Run().Client
	}
	ctx = context.WithValue(ctx, clientKey{}, client)
	rc, err := l.execute(ctx, s, p)
	for ; err != nil; rc, err = l.execute(ctx, s, p) {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(refusedAgain):
		}
	}
	rc.Wait(ctx)
	if ctx.Err() != nil {
		return nil
	}
	v := l.resolved(rc)
	return encoded(wire.JobEnd{Receipt: &v})
}

// job serves the state of a job.
func (l *Lab) job(w http.ResponseWriter, r *http.Request) {
	id := chi.URLParam(r, "id")
	if l.Queue == nil {
		l.noJob(w, r, id)
		return
	}
	job, err := l.Queue.Job(r.Context(), id)
	switch {
	case errors.Is(err, jobs.ErrUnknown):
		l.noJob(w, r, id)
	case err != nil:
		w.Header().Set("Retry-After", "1")
		refuse(w, r, http.StatusServiceUnavailable, "no_queue", "the queue does not answer: "+err.Error())
	default:
		writeJSON(w, r, http.StatusOK, job)
	}
}

func (l *Lab) noJob(w http.ResponseWriter, r *http.Request, id string) {
	refuse(w, r, http.StatusNotFound, "no_job", fmt.Sprintf(
		"there is no job %.40q: the queue keeps a job for %s, and /offload makes one", id, jobs.MaxAge))
}
