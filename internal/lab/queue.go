package lab

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"sync"
	"time"

	"gotimeout/internal/badnet/private"
	"gotimeout/internal/jobs"
	"gotimeout/internal/receipt"
	"gotimeout/internal/wire"
)

// jobsAtOnce is how many jobs a worker makes at once.
const jobsAtOnce = 128

// openAgain is how long a lab waits before it tries again to open its queue.
const openAgain = time.Second

// queue is the lab's queue with its worker. It is opened at the first use, because most labs
// need none: a server in this process takes some 20 ms, and 10 MB. A queue that may have jobs
// of before is opened at once, beside the start.
type queue struct {
	lab      *Lab
	settings jobs.Settings
	life     context.Context // ends with the lab
	die      func()

	opening  sync.Mutex
	attempt  *attempt // the last one to open the queue; nil before the first, and after one that failed
	attempts sync.WaitGroup
	closes   []func()
	closed   bool

	mu      sync.Mutex
	pending map[string]*pendingJob
}

// attempt is an attempt to open the queue. It goes on when the request that began it has had its
// timeout: others wait for it as well.
type attempt struct {
	done chan struct{}
	jobs *jobs.Queue
	err  error
}

// pendingJob is a job that this lab has put into the queue.
type pendingJob struct {
	ended func(*receipt.View)
	gone  *time.Timer // ends the wait for a job that the queue has dropped
}

func (l *Lab) openQueue(ctx context.Context) {
	s := l.settings
	life, die := context.WithCancel(ctx)
	q := &queue{lab: l, life: life, die: die, pending: map[string]*pendingJob{}, settings: jobs.Settings{URL: s.NATSURL, Dir: s.Data, Log: l.Log}}
	if s.Dial != nil {
		q.settings.Dial = func(network, addr string) (net.Conn, error) {
			return s.Dial(context.Background(), network, addr)
		}
	}
	l.Queue = q
	l.atClose(q.close)
	if s.NATSURL == "" && s.Data == "" {
		return
	}
	var opening sync.WaitGroup
	opening.Go(func() {
		for q.life.Err() == nil {
			if _, err := q.open(q.life); err == nil {
				return
			} else if q.life.Err() == nil {
				l.Log.Warn("the queue is not open yet", "error", err)
			}
			select {
			case <-q.life.Done():
			case <-time.After(openAgain):
			}
		}
	})
	l.atClose(func() { q.die(); opening.Wait() })
}

// open opens the queue and starts the worker, if that is not done, and waits for it until ctx is done.
func (q *queue) open(ctx context.Context) (*jobs.Queue, error) {
	q.opening.Lock()
	if q.closed {
		q.opening.Unlock()
		return nil, context.Canceled
	}
	if q.attempt == nil {
		a := &attempt{done: make(chan struct{})}
		q.attempt = a
		q.attempts.Go(func() {
			defer close(a.done)
			if a.jobs, a.err = q.start(); a.err != nil {
				q.opening.Lock()
				q.attempt = nil
				q.opening.Unlock()
			}
		})
	}
	a := q.attempt
	q.opening.Unlock()
	select {
	case <-a.done:
		return a.jobs, a.err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// start opens the queue and starts the worker. Only the end of the lab interrupts it.
func (q *queue) start() (*jobs.Queue, error) {
	opened, err := jobs.Open(q.life, q.settings)
	if err != nil {
		return nil, err
	}
	stop, err := opened.Ended(context.Background(), q.lab.Ledger.Name(), q.ended)
	if err != nil {
		opened.Close()
		return nil, err
	}
	working, cancel := context.WithCancel(context.Background())
	var worker sync.WaitGroup
	worker.Go(func() {
		for working.Err() == nil {
			if err := opened.Work(working, jobsAtOnce, q.make); err != nil && working.Err() == nil {
				q.lab.Log.Warn("the worker could not begin, and tries again", "error", err)
				select {
				case <-working.Done():
				case <-time.After(openAgain):
				}
			}
		}
	})
	q.closes = []func(){opened.Close, stop, func() { cancel(); worker.Wait() }}
	q.lab.Log.Info("queue", "nats", q.settings.URL != "", "worker", opened.Worker())
	return opened, nil
}

func (q *queue) make(ctx context.Context, job jobs.Job) json.RawMessage {
	return q.lab.Work(ctx, job.Query)
}

func (q *queue) close() {
	q.opening.Lock()
	q.closed = true
	q.opening.Unlock()
	q.die()
	q.attempts.Wait()
	for i := len(q.closes) - 1; i >= 0; i-- {
		q.closes[i]()
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, p := range q.pending {
		p.gone.Stop()
	}
}

// Put implements handlers.Queue.
func (q *queue) Put(ctx context.Context, id, query string, ended func(*receipt.View)) error {
	opened, err := q.open(ctx)
	if err != nil {
		return fmt.Errorf("the queue is not open: %w", err)
	}
	q.mu.Lock()
	q.pending[id] = &pendingJob{ended, time.AfterFunc(jobs.MaxAge+time.Minute, func() { q.over(id, nil) })}
	q.mu.Unlock()
	err = opened.Put(ctx, id, query)
	if err != nil && q.take(id) == nil {
		return nil // the job has ended already, so the queue had stored it
	}
	return err
}

// take removes a pending job. It returns nil if there is none.
func (q *queue) take(id string) *pendingJob {
	q.mu.Lock()
	defer q.mu.Unlock()
	p := q.pending[id]
	if p != nil {
		p.gone.Stop()
		delete(q.pending, id)
	}
	return p
}

// ended is told of each job of this lab that has ended.
func (q *queue) ended(job jobs.Job) {
	var end wire.JobEnd
	if job.Result != nil && json.Unmarshal(job.Result, &end) != nil {
		q.lab.Log.Warn("a worker of another version has ended a job", "job", job.ID)
	}
	q.over(job.ID, end.Receipt)
}

func (q *queue) over(id string, v *receipt.View) {
	if p := q.take(id); p != nil {
		p.ended(v)
	}
}

// Job implements handlers.Queue.
func (q *queue) Job(ctx context.Context, id string) (jobs.Job, error) {
	opened, err := q.open(ctx)
	if err != nil {
		return jobs.Job{}, err
	}
	return opened.Get(ctx, id)
}

// ReadNATSURL reads the addresses of a cluster, with commas. The error quotes nothing, as there may be
// a password.
func ReadNATSURL(text string) error {
	for one := range strings.SplitSeq(text, ",") {
		u, err := url.Parse(strings.TrimSpace(one))
		if err != nil || u.Scheme != "nats" && u.Scheme != "tls" || u.Hostname() == "" {
			return errors.New("can't be read: write nats://host:4222, several with commas, and tls:// for TLS")
		}
	}
	return nil
}

// natsServers are the servers of NATS that a lab connects to.
func natsServers(text string) (all []private.Server) {
	if text == "" {
		return nil
	}
	for one := range strings.SplitSeq(text, ",") {
		u, err := url.Parse(strings.TrimSpace(one))
		if err == nil {
			all = append(all, private.Server{Network: "tcp", Addr: net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), "4222"))})
		}
	}
	return all
}
