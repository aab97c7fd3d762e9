package receipt

import (
	"errors"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// The errors of Open: the lab protects itself.
var (
	ErrInFlight  = errors.New("too many runs in flight")
	ErrAbandoned = errors.New("too much work left behind")
	ErrBusy      = errors.New("too many runs that compute")
	ErrShare     = errors.New("too much by one client")

	ErrDescriptors = errors.New("too few file descriptors")
)

// The errors of After.
var (
	ErrUnknown = errors.New("no receipt of this ledger")
	ErrGone    = errors.New("the receipts after this one are no longer kept")
)

// Limits bound what may go on at once.
type Limits struct {
	InFlight  int // runs without an answer
	Abandoned int // answered runs whose receipt is not complete
	Busy      int // runs that compute in this process, until they are complete

	Descriptors int // file descriptors of runs, until they are complete and their dials have ended; 0 is no limit
}

// Share returns the limits of one client, so that none shuts out the others: a quarter of
// the limits of all.
func (m Limits) Share() Limits {
	part := func(n int) int { return max(1, n/4) }
	share := Limits{InFlight: part(m.InFlight), Abandoned: part(m.Abandoned), Busy: part(m.Busy)}
	if m.Descriptors > 0 {
		share.Descriptors = part(m.Descriptors)
	}
	return share
}

// refuse returns the error of the limit that one more run would exceed, or nil. A run that needs more
// descriptors than the limit has the place to itself: no other run has descriptors.
func (m Limits) refuse(c Counts, run *Run) error {
	switch {
	case c.InFlight >= m.InFlight:
		return ErrInFlight
	case c.Abandoned >= m.Abandoned && run.Job == "": // a job is left behind already, until its run has ended
		return ErrAbandoned
	case run.Busy && c.Busy >= m.Busy:
		return ErrBusy
	case m.Descriptors > 0 && c.Descriptors > 0 && c.Descriptors+int(run.Descriptors) > m.Descriptors:
		return ErrDescriptors
	}
	return nil
}

// Ledger keeps the last receipts and counts what goes on.
type Ledger struct {
	Watcher Watcher // nil is none; set it before the first Open

	lab    string
	limits Limits

	kinds atomic.Pointer[[]phaseKind] // of all phases so far; never nil

	mu     sync.Mutex
	seq    uint64 // the number of the last receipt; the first is 1
	ring   []*Receipt
	open   map[string]*Receipt // open receipts that may have lost their place in the ring
	counts Counts
	shares map[string]Counts // of each client that has something going on
}

// Counts is what goes on now.
type Counts struct {
	InFlight  int `json:"in_flight"`
	Abandoned int `json:"abandoned"`
	Busy      int `json:"busy"`

	Descriptors int `json:"descriptors"`
}

// NewLedger returns a ledger of the last size receipts. Their IDs begin with lab, so
// that two labs on one database do not take each other's reports.
func NewLedger(lab string, size int, limits Limits) *Ledger {
	l := &Ledger{lab: lab, limits: limits, ring: make([]*Receipt, size), open: map[string]*Receipt{}, shares: map[string]Counts{}}
	l.kinds.Store(new([]phaseKind))
	return l
}

// Open starts the receipt of a run and its clock. It returns ErrInFlight,
// ErrAbandoned, ErrBusy, ErrDescriptors or ErrShare at a limit.
func (l *Ledger) Open(run Run) (*Receipt, error) {
	r := &Receipt{ledger: l, run: run, start: time.Now(), pending: run.Ops}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.full(&r.run); err != nil {
		if l.Watcher != nil {
			l.Watcher.Refused(&r.run)
		}
		return nil, err
	}
	l.count(&r.run, Counts{InFlight: 1, Busy: one(run.Busy), Descriptors: int(run.Descriptors)})
	l.seq++
	r.id = l.lab + "-" + strconv.FormatUint(l.seq, 10)
	r.open = true
	place := &l.ring[l.seq%uint64(len(l.ring))]
	if old := *place; old != nil && old.open {
		l.open[old.id] = old // its backends have yet to report
	}
	*place = r
	return r, nil
}

// full returns the error of the limit that a run would exceed, or nil.
func (l *Ledger) full(run *Run) error {
	if err := l.limits.refuse(l.counts, run); err != nil {
		return err
	}
	if run.Client != "" && l.limits.Share().refuse(l.shares[run.Client], run) != nil {
		return ErrShare
	}
	return nil
}

// count adds to what goes on, in all and of the run's client.
func (l *Ledger) count(run *Run, add Counts) {
	l.counts = l.counts.plus(add)
	if run.Client == "" {
		return
	}
	if now := l.shares[run.Client].plus(add); now != (Counts{}) {
		l.shares[run.Client] = now
	} else {
		delete(l.shares, run.Client)
	}
}

func (c Counts) plus(d Counts) Counts {
	return Counts{c.InFlight + d.InFlight, c.Abandoned + d.Abandoned, c.Busy + d.Busy, c.Descriptors + d.Descriptors}
}

// Get returns the receipt of an ID, or nil if there never was one or it is gone. An
// open receipt is never gone, since its backends report by its ID.
func (l *Ledger) Get(id string) *Receipt {
	seq := l.number(id)
	l.mu.Lock()
	defer l.mu.Unlock()
	if r := l.ring[seq%uint64(len(l.ring))]; r != nil && r.id == id {
		return r
	}
	return l.open[id]
}

// number returns the number of an ID, 0 of an ID that the ledger never gives.
func (l *Ledger) number(id string) uint64 {
	lab, digits, _ := strings.Cut(id, "-")
	seq, err := strconv.ParseUint(digits, 10, 64)
	if err != nil || lab != l.lab || digits[0] == '0' {
		return 0
	}
	return seq
}

// Last returns the last n receipts, the newest first.
func (l *Ledger) Last(n int) []*Receipt {
	l.mu.Lock()
	defer l.mu.Unlock()
	size := uint64(len(l.ring))
	last := make([]*Receipt, 0, min(uint64(max(n, 0)), size, l.seq))
	for seq := l.seq; seq > 0 && len(last) < cap(last); seq-- {
		last = append(last, l.ring[seq%size])
	}
	return last
}

// After returns the first n receipts after the receipt of an ID, the oldest first. It
// returns ErrUnknown where the ledger never gave the ID, and ErrGone where the first
// receipt after it is no longer kept; the receipt of the ID itself may be gone.
func (l *Ledger) After(id string, n int) ([]*Receipt, error) {
	seq := l.number(id)
	l.mu.Lock()
	defer l.mu.Unlock()
	size := uint64(len(l.ring))
	switch {
	case seq == 0 || seq > l.seq:
		return nil, ErrUnknown
	case l.seq-seq > size:
		return nil, ErrGone
	}
	after := make([]*Receipt, min(uint64(max(n, 0)), l.seq-seq))
	for i := range after {
		after[i] = l.ring[(seq+1+uint64(i))%size]
	}
	return after, nil
}

// Name returns the name with which the IDs begin.
func (l *Ledger) Name() string { return l.lab }

// Size is how many receipts the ledger holds at most.
func (l *Ledger) Size() int { return len(l.ring) }

// BoundDescriptors sets that limit, which is known when all else is open. Call it before the first Open.
func (l *Ledger) BoundDescriptors(most int) { l.limits.Descriptors = most }

// Limits returns what may go on at once.
func (l *Ledger) Limits() Limits { return l.limits }

// LastID returns the ID of the newest receipt, "" before the first.
func (l *Ledger) LastID() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.seq == 0 {
		return ""
	}
	return l.ring[l.seq%uint64(len(l.ring))].id
}

// Counts returns what goes on now.
func (l *Ledger) Counts() Counts {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.counts
}

func (l *Ledger) answered(r *Receipt) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.count(&r.run, Counts{InFlight: -1, Abandoned: 1})
}

func (l *Ledger) completed(r *Receipt) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.count(&r.run, Counts{Abandoned: -1, Busy: -one(r.run.Busy), Descriptors: r.dialFiles() - int(r.run.Descriptors)})
	r.open = false
	delete(l.open, r.id)
}

// heldOn adds to the descriptors of a complete run.
func (l *Ledger) heldOn(r *Receipt, files int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.count(&r.run, Counts{Descriptors: files})
}

func (l *Ledger) reopened(r *Receipt) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.count(&r.run, Counts{Abandoned: 1, Busy: one(r.run.Busy), Descriptors: int(r.run.Descriptors) - r.dialFiles()})
	r.open = true
	l.open[r.id] = r
}

func one(b bool) int {
	if b {
		return 1
	}
	return 0
}
