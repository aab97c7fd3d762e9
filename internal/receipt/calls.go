package receipt

import (
	"net/netip"
	"slices"
	"time"
)

// Connections counts the connections that a run dialed, reused, kept and closed, and how
// they ended.
type Connections struct {
	Dialed    int `json:"dialed"`
	Reused    int `json:"reused"`
	Kept      int `json:"kept"`   // given back to the pool
	Closed    int `json:"closed"` // during the run
	FINByUs   int `json:"fin_by_us"`
	FINByPeer int `json:"fin_by_peer"`
	RST       int `json:"rst"`
	Unknown   int `json:"unknown"` // the system does not report how
}

// How a connection ended. The end that closes first answers data that comes later by
// a RST, so a finByUs may turn out to be an rst.
const (
	finByUs   = "fin_by_us"
	finByPeer = "fin_by_peer"
	rst       = "rst"
)

// closing is the end of a connection.
type closing struct {
	before        *closing // of the same run; nil is none
	how           string
	local, remote netip.AddrPort
	at            time.Time
}

// ConnClosed records that a connection of the run was closed, and how the close
// looked at that time.
func (r *Receipt) ConnClosed(how string, local, remote netip.AddrPort) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = &closing{r.closed, how, local, remote, time.Now()}
}

// timeWait is less than the 60 s for which Linux keeps a connection in TIME-WAIT that
// this end closed first and that was not reset.
const timeWait = 50 * time.Second

// Resolve finds the connections that looked like a FIN by this end and were reset
// after all: the connections of a complete run that the kernel no longer knows.
// known reports whether the kernel knows a connection; each is asked for a few times.
func (r *Receipt) Resolve(known func(local, remote netip.AddrPort) (bool, error)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.complete {
		return
	}
	for c := r.closed; c != nil; c = c.before {
		if c.how != finByUs || time.Since(c.at) > timeWait {
			continue
		}
		if there, err := known(c.local, c.remote); err == nil && !there {
			c.how = rst
		}
	}
}

func (r *Receipt) connections() Connections {
	c := Connections{Dialed: int(r.dialed.Load()), Reused: int(r.reused.Load()), Kept: int(r.kept.Load())}
	for closed := r.closed; closed != nil; closed = closed.before {
		c.Closed++
		switch closed.how {
		case finByUs:
			c.FINByUs++
		case finByPeer:
			c.FINByPeer++
		case rst:
			c.RST++
		default:
			c.Unknown++
		}
	}
	return c
}

// phase is a part of a call as it was recorded.
type phase struct {
	at, took time.Duration
	kind     uint16 // in Ledger.kinds: a receipt of two strings for each phase would be too large
	over     bool
	failed   bool
}

type phaseKind struct{ op, name string }

// kind returns the number of a kind of phases. There are a few kinds for each op.
func (l *Ledger) kind(of phaseKind) uint16 {
	for {
		known := l.kinds.Load()
		if i := slices.Index(*known, of); i >= 0 {
			return uint16(i)
		}
		more := append(slices.Clone(*known), of)
		l.kinds.CompareAndSwap(known, &more)
	}
}

// Phase is a part of a call, such as its connect.
type Phase struct {
	Op     string   `json:"op,omitempty"` // only in a run of several ops
	Name   string   `json:"name"`
	At     *float64 `json:"at_ms"`
	Took   *float64 `json:"took_ms"` // nil while the phase goes on
	Failed bool     `json:"failed,omitempty"`
}

// PhaseBegan records that a phase of a call of op begins, and returns the function
// that records its end. If the function is called again, the last call counts. A phase may
// end, and even begin, after the receipt is complete.
func (r *Receipt) PhaseBegan(op, name string) (ended func(error)) {
	now, kind := time.Now(), r.ledger.kind(phaseKind{op, name})
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.phases == nil {
		r.phases = r.room[:0]
	}
	i := len(r.phases)
	r.phases = append(r.phases, phase{kind: kind, at: now.Sub(r.start)})
	return func(err error) {
		now := time.Now()
		r.mu.Lock()
		defer r.mu.Unlock()
		p := &r.phases[i]
		p.took, p.over, p.failed = now.Sub(r.start)-p.at, true, err != nil
	}
}

// DialOutlived records that a dial of the run went on after its call had returned, and returns the
// function that records its end, which must be called once. Until then the dial holds descriptors of
// the run, also when the receipt is complete. remedy tells how to end such a dial.
func (r *Receipt) DialOutlived(remedy string) (ended func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.dials == nil {
		r.dials = new(outlivedDials)
	}
	r.dials.count++
	r.dials.remedy = remedy
	r.dialsOn(1)
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.dialsOn(-1)
	}
}

// outlivedDials are the dials that went on after their call had returned.
type outlivedDials struct {
	count, going int
	remedy       string // how to end such dials
}

// dialsOn adds to the outlived dials that go on. The caller has the lock.
func (r *Receipt) dialsOn(n int) {
	before := r.dialFiles()
	r.dials.going += n
	if r.complete {
		r.ledger.heldOn(r, r.dialFiles()-before)
	}
}

// dialFiles returns how many descriptors the outlived dials hold that go on: each those of a call. The
// caller has the lock.
func (r *Receipt) dialFiles() int {
	if r.dials == nil {
		return 0
	}
	return r.dials.going * int(r.run.Descriptors) / max(1, int(r.run.Ops))
}

// Orphaned records that programs that the run's command had started ran on when the
// command had ended.
func (r *Receipt) Orphaned() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.orphaned = true
}

// viewPhases returns the phases as they stand. The caller has the lock.
func (r *Receipt) viewPhases() []Phase {
	views := make([]Phase, len(r.phases))
	for i, p := range r.phases {
		kind := (*r.ledger.kinds.Load())[p.kind]
		views[i] = Phase{Name: kind.name, At: ms(p.at), Failed: p.failed}
		if r.run.Ops > 1 {
			views[i].Op = kind.op
		}
		if p.over {
			views[i].Took = ms(p.took)
		}
	}
	return views
}
