package lab

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"

	"gotimeout/handlers"
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
	tried    chan struct{} // closed when the first attempt to open the queue has ended
	keeping  sync.WaitGroup

	mu      sync.Mutex
	kept    bool        // it is kept open
	jobs    *jobs.Queue // nil while it is not open
	failed  error       // why it is not open
	pending map[string]*pendingJob
}

// pendingJob is a job that this lab has put into the queue.
type pendingJob struct {
	ended func(*receipt.View)
	gone  *time.Timer // ends the wait for a job that the queue has dropped
}

func (l *Lab) openQueue() {
	s := l.settings
	q := &queue{lab: l, tried: make(chan struct{}), pending: map[string]*pendingJob{}, settings: jobs.Settings{URL: s.NATSURL, Dir: s.Data, Log: l.Log}}
	q.life, q.die = context.WithCancel(context.Background())
	if s.Dial != nil {
		q.settings.Dial = func(network, addr string) (net.Conn, error) {
			return s.Dial(context.Background(), network, addr)
		}
	}
	l.Queue = q
	l.atClose(q.close)
	if s.NATSURL != "" || s.Data != "" {
		q.use()
	}
}

// use has the queue opened and kept open, if that is not done.
func (q *queue) use() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.kept && q.life.Err() == nil {
		q.kept = true
		q.keeping.Go(q.keep)
	}
}

// open uses the queue, and waits for the first attempt to open it until ctx is done. The attempt goes on then:
// others wait for it as well.
func (q *queue) open(ctx context.Context) (*jobs.Queue, error) {
	q.use()
	select {
	case <-q.tried:
		opened, _, err := q.now()
		return opened, err
	case <-q.life.Done():
		return nil, q.life.Err()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// now returns the queue if it is open, whether it is used, and why it is not open.
func (q *queue) now() (opened *jobs.Queue, used bool, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.jobs, q.kept, q.failed
}

func (q *queue) is(opened *jobs.Queue, failed error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.jobs, q.failed = opened, failed
}

// keep opens the queue, and opens it again when it could not be opened or has failed, until the lab ends.
func (q *queue) keep() {
	told := sync.OnceFunc(func() { close(q.tried) })
	last := ""
	for {
		opened, stop, err := q.start()
		q.is(opened, err)
		told()
		if err == nil {
			last = ""
			select {
			case <-opened.Failed():
				err = opened.Ready()
			case <-q.life.Done():
				err = q.life.Err()
			}
			q.is(nil, err)
			stop()
		}
		if q.life.Err() != nil {
			return
		}
		if err.Error() != last {
			last = err.Error()
			q.lab.Log.Warn("the queue is not open, and is tried again until it is", "error", err)
		}
		select {
		case <-q.life.Done():
			return
		case <-time.After(openAgain):
		}
	}
}

// start opens the queue and starts the worker. Only the end of the lab interrupts it.
func (q *queue) start() (opened *jobs.Queue, stop func(), err error) {
	if q.settings.URL == "" && q.settings.Dir == "" {
		if q.settings.Dir, err = os.MkdirTemp("", "gotimeout-jobs-"); err != nil {
			return nil, nil, fmt.Errorf("the queue has no place for its files: %w; name one by --data", err)
		}
	}
	if opened, err = jobs.Open(q.life, q.settings); err != nil {
		return nil, nil, err
	}
	deaf, err := opened.Ended(context.Background(), q.lab.Ledger.Name(), q.ended)
	if err != nil {
		opened.Close()
		return nil, nil, err
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
	q.lab.Log.Info("queue", "nats", q.settings.URL != "", "worker", opened.Worker())
	return opened, func() { cancel(); worker.Wait(); deaf(); opened.Close() }, nil
}

func (q *queue) make(ctx context.Context, job jobs.Job) json.RawMessage {
	return q.lab.Work(ctx, job.ID, job.Query)
}

func (q *queue) close() {
	q.mu.Lock()
	q.die()
	q.mu.Unlock()
	q.keeping.Wait()
	if q.settings.Dir != q.lab.settings.Data {
		_ = os.RemoveAll(q.settings.Dir)
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, p := range q.pending {
		p.gone.Stop()
	}
}

// Health implements handlers.Queue.
func (q *queue) Health() (h handlers.Health, used bool) {
	h = handlers.Health{Name: "queue", Embedded: q.settings.URL == "", Ready: true}
	var addrs []string
	for _, server := range natsServers(q.settings.URL) {
		addrs = append(addrs, server.Addr)
	}
	h.Addr = strings.Join(addrs, ",")
	opened, used, err := q.now()
	if opened != nil {
		err = opened.Ready()
	} else if err == nil {
		err = errors.New("the queue is being opened")
	}
	if err != nil {
		h.Ready, h.Error = false, err.Error()
	}
	return h, used
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
