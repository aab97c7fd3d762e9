package receipt

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// Run is what was asked for.
type Run struct {
	Name    string        // the strategy
	Family  string        // the strategy's family
	Slow    string        // the op
	Ctx     string        // aware or deaf
	Work    string        // of the op, where it has a choice
	Backend string        // aware or deaf, where it has a choice
	Target  string        // a server with a fault in the place of the backend, or ""
	Network any           // the way to the backend, as the JSON shows it; it must not change
	Delay   time.Duration // how long the work takes
	Timeout time.Duration // the bound

	Unbounded bool // the strategy has no bound: Timeout is only compared with

	Timeouts map[string]string // those of phases, by parameter

	Ops      int  // how many ops the strategy runs
	Backends int  // how many backends report that they began and stopped
	Seen     bool // all backends of the run report, so it can be known when the last stopped
	Busy     bool // the work computes in this process
}

// Status is the outcome of a run.
type Status string

// The outcomes.
const (
	Completed Status = "completed"
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
// goroutine.
type Receipt struct {
	ledger   *Ledger
	id       string
	run      Run
	start    time.Time
	prepared Figure // see Start
	open     bool   // not complete; the ledger's, under its lock

	dialed, reused, kept atomic.Int32

	mu       sync.Mutex
	closed   []closing // connections, in their order
	phases   []phase
	outlived int    // dials that went on when their call had returned
	remedy   string // against them
	status   Status // "" until the answer
	err      *Error
	answered time.Duration
	ended    time.Duration
	backend  time.Duration // when the last backend stopped so far
	pending  int           // ops that have not returned
	left     int           // of them, at the answer
	began    int           // reports of a backend that it began
	working  int           // backends that have not stopped
	unseen   bool          // a backend could not be watched after all
	settled  bool          // no more waiting for a backend that has not begun
	complete bool
	changed  chan struct{} // closed at the next change; nil until somebody watches

	onComplete              func(Figures)
	toldStraggle, toldWaste bool // to who watches
}

// Start starts the run's clock again, after a preparation such as the measurement of a database's speed. The receipt shows how
// long the preparation took, since the caller has waited for that too, where it took a millisecond or longer.
func (r *Receipt) Start() {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	if took := now.Sub(r.start); took >= time.Millisecond {
		r.prepared = Figure{true, took}
	}
	r.start = now
}

// ID names the receipt.
func (r *Receipt) ID() string { return r.id }

// Wrap returns op, watched: the receipt is open until it has returned. Each of
// the run's ops must be wrapped and called once.
func (r *Receipt) Wrap(op func(context.Context) error) func(context.Context) error {
	return func(ctx context.Context) error {
		defer r.opEnded()
		return op(ctx)
	}
}

func (r *Receipt) opEnded() {
	at := time.Since(r.start)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.pending--
	r.ended = max(r.ended, at)
	r.settle()
}

// Answered says that the caller has its answer now. It is called once.
func (r *Receipt) Answered(status Status, err *Error) {
	at := time.Since(r.start)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.status, r.err, r.answered, r.left = status, err, at, r.pending
	r.ledger.answered()
	r.tellAnswered()
	r.settle()
}

// NotWritten says that the answer could not be written after all. It is called
// after Answered, whose outcome a Watcher keeps.
func (r *Receipt) NotWritten(err *Error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.status, r.err = Unanswered, err
	r.tell()
}

// BackendBegan says that a backend began to work on the run. A request that
// was on its way when the caller gave up may arrive late, even at a receipt
// that was complete: that opens it again.
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

// BackendEnded says that a backend stopped working on the run: once for each
// BackendBegan.
func (r *Receipt) BackendEnded() { r.backendGone(false) }

// BackendLost says in the place of BackendEnded that nobody can see any more
// when it stops.
func (r *Receipt) BackendLost() { r.backendGone(true) }

func (r *Receipt) backendGone(unseen bool) {
	at := time.Since(r.start)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.working--
	r.backend = max(r.backend, at)
	r.unseen = r.unseen || unseen
	r.settle()
}

// The run dialed a connection, took one from a pool, or gave one back.
func (r *Receipt) ConnDialed() { r.dialed.Add(1) }
func (r *Receipt) ConnReused() { r.reused.Add(1) }
func (r *Receipt) ConnKept()   { r.kept.Add(1) }

// settleTime is how long a receipt waits for a backend to begin after the op
// has given up: what a request needs that is on its way over loopback.
const settleTime = 25 * time.Millisecond

// settle completes the receipt if nothing is left to wait for. It is called
// after each change.
func (r *Receipt) settle() {
	r.tell()
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
	r.tellComplete()
}
