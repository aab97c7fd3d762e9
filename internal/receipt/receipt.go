package receipt

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// Run describes a run: what the caller asked for and what its op reports.
type Run struct {
	Name    string            // the strategy
	Family  string            // the strategy's family
	Slow    string            // the op
	Ctx     string            // aware or deaf
	Work    string            // what the backend does, for an op with such a choice
	Backend string            // aware or deaf, for an op with such a choice
	Target  string            // the faulty server in the backend's place, "" for the backend itself
	Params  map[string]string // the values of the parameters that other ops don't have; it must not change
	Network any               // the network to the backend, as the JSON shows it; it must not change
	Delay   time.Duration     // how long the work takes
	Timeout time.Duration     // the bound

	Timeouts map[string]string // the timeouts of phases, by parameter

	Ops       int32 // how many ops the strategy runs
	Backends  int32 // how many backends report their begin and end
	Elsewhere bool  // the ops are no goroutines of this process
	Unbounded bool  // the strategy has no bound: Timeout is only compared with
	Seen      bool  // all backends of the run report, so the end of the last one is known
	Busy      bool  // the work computes in this process

	Descriptors uint8 // how many files of this process the run needs, about

	Job    string // the job that a worker makes this run for, "" without one
	Client string // whose share of the limits the run takes, "" without shares
}

// Status is the outcome of a run.
type Status string

// The outcomes.
const (
	Completed Status = "completed"
	Accepted  Status = "accepted" // a queue has the work, whose end is to come
	TimedOut  Status = "timed_out"
	Failed    Status = "failed"
	Refused   Status = "refused" // the lab protected itself: the run was not started

	// Unanswered is a run whose answer could not be written: its caller had left,
	// or the server's own bound had passed.
	Unanswered Status = "unanswered"
)

// Error says why a run did not complete.
type Error struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

// Receipt is the record of one run. Its methods are safe for use from any
// goroutine. It has at most 512 bytes: the ledger keeps thousands, and the garbage
// collector takes several times as long to look through a larger object
// (https://go.dev/issue/73581).
type Receipt struct {
	ledger   *Ledger
	id       string
	run      Run
	start    time.Time
	prepared time.Duration // see Start; 0 is none
	open     bool          // not complete; guarded by the ledger's lock

	dialed, reused, kept atomic.Int32

	mu       sync.Mutex
	closed   *closing // the connection that the run closed last
	phases   []phase
	room     [4]phase       // the first phases: a call on a pooled connection has no more
	dials    *outlivedDials // nil is none
	status   Status         // "" until the answer
	err      *Error
	answered time.Duration
	ended    time.Duration
	backend  time.Duration // when the last backend stopped so far
	pending  int32         // ops that have not returned
	left     int32         // ops that had not returned at the answer
	began    int32         // how many backends reported that they began
	working  int32         // backends that have not stopped
	orphaned bool          // programs of a command ran on when it had ended
	unseen   bool          // a backend can no longer be observed: its end is unknown
	settled  bool          // the wait for backends that have not begun is over
	complete bool

	toldStraggle, toldWaste bool // watchers have had these figures

	changed    chan struct{} // closed at the next change; nil without a watcher
	onComplete func(Figures)
}

// Start starts the run's clock again, after a preparation such as the measurement of a database's speed. The receipt shows how
// long the preparation took, since the caller has waited for that too, where it took a millisecond or longer.
func (r *Receipt) Start() {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	if took := now.Sub(r.start); took >= time.Millisecond {
		r.prepared = took
	}
	r.start = now
}

// ID returns the ID of the receipt.
func (r *Receipt) ID() string { return r.id }

// Wrap returns op so that the receipt stays open until op has returned. Each of
// the run's ops must be wrapped and called once.
func (r *Receipt) Wrap(op func(context.Context) error) func(context.Context) error {
	return func(ctx context.Context) error {
		defer r.OpEnded()
		return op(ctx)
	}
}

// OpEnded records that an op has ended, in the place of Wrap for one that goes on elsewhere after
// its func has returned. It must be called once.
func (r *Receipt) OpEnded() {
	at := time.Since(r.start)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.pending--
	r.ended = max(r.ended, at)
	r.settle()
}

// NetworkEnded records that the network to the backend has ended during the run, as the JSON shows it then.
func (r *Receipt) NetworkEnded(network any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.run.Network = network
}

// Answered records that the caller has its answer now. It must be called once.
func (r *Receipt) Answered(status Status, err *Error) {
	at := time.Since(r.start)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.status, r.err, r.answered = status, err, at
	if !r.run.Elsewhere {
		r.left = r.pending
	}
	r.ledger.answered(r)
	r.watcherAnswered()
	r.settle()
}

// NotWritten records that the answer could not be written after all. It must be
// called after Answered; a Watcher keeps the outcome that Answered reported.
func (r *Receipt) NotWritten(err *Error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.status, r.err = Unanswered, err
	r.notify()
}

// BackendBegan records that a backend began to work on the run. A request that was
// on its way when the caller gave up may reach the backend after the receipt was
// complete: the receipt is then open again.
func (r *Receipt) BackendBegan() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.began++
	r.working++
	if r.complete {
		r.complete = false
		r.ledger.reopened(r)
	}
}

// BackendEnded records that a backend stopped working on the run. It must be called
// once for each BackendBegan.
func (r *Receipt) BackendEnded() { r.backendGone(time.Now(), false) }

// BackendEndedAt is BackendEnded for a backend that stopped at a time before now.
func (r *Receipt) BackendEndedAt(at time.Time) { r.backendGone(at, false) }

// BackendLost is called in the place of BackendEnded when the backend can no longer
// be observed, so its end stays unknown.
func (r *Receipt) BackendLost() { r.backendGone(time.Now(), true) }

func (r *Receipt) backendGone(at time.Time, unseen bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.working--
	r.backend = max(r.backend, at.Sub(r.start))
	r.unseen = r.unseen || unseen
	r.settle()
}

// ConnDialed, ConnReused and ConnKept record that the run dialed a connection, took
// one from a pool and gave one back to it.
func (r *Receipt) ConnDialed() { r.dialed.Add(1) }
func (r *Receipt) ConnReused() { r.reused.Add(1) }
func (r *Receipt) ConnKept()   { r.kept.Add(1) }

// settleTime is how long a receipt waits for a backend to begin after the op has given up.
// A request over loopback doesn't take longer.
const settleTime = 25 * time.Millisecond

// settle completes the receipt when it has nothing to wait for. It is called after each
// change, while the lock is held.
func (r *Receipt) settle() {
	r.notify()
	if r.complete || r.status == "" || r.pending > 0 || r.working > 0 {
		return
	}
	if r.began < r.run.Backends && !r.settled {
		time.AfterFunc(settleTime, func() {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.settled = true
			r.settle()
		})
		return
	}
	r.complete = true
	r.ledger.completed(r)
	r.watcherCompleted()
}
