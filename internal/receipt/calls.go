package receipt

import (
	"net/netip"
	"time"
)

// Connections counts what a run did with connections, and how they ended.
type Connections struct {
	Dialed    int `json:"dialed"`
	Reused    int `json:"reused"`
	Kept      int `json:"kept"`   // given back to the pool
	Closed    int `json:"closed"` // under the run
	FINByUs   int `json:"fin_by_us"`
	FINByPeer int `json:"fin_by_peer"`
	RST       int `json:"rst"`
	Unknown   int `json:"unknown"` // where the system doesn't tell
}

// How a connection ended. What says goodbye first and is sent data after that
// answers by a RST: so a FINByUs may turn out to have been one.
const (
	finByUs   = "fin_by_us"
	finByPeer = "fin_by_peer"
	rst       = "rst"
)

// closing is the end of a connection.
type closing struct {
	how           string
	local, remote netip.AddrPort
	at            time.Time
}

// ConnClosed says that a connection of the run was closed, and how that looked
// at the time.
func (r *Receipt) ConnClosed(how string, local, remote netip.AddrPort) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = append(r.closed, closing{how, local, remote, time.Now()})
}

// keeps is for how long the kernel remembers a connection that this end closed
// first, if it wasn't reset: its TIME-WAIT is 60 s on Linux.
const keeps = 50 * time.Second

// Resolve finds out which of the connections that looked like a FIN by us were
// reset after all: those of a complete run that the kernel no longer knows.
// known tells that, and is asked a time or two for each connection.
func (r *Receipt) Resolve(known func(local, remote netip.AddrPort) (bool, error)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.complete {
		return
	}
	for i := range r.closed {
		c := &r.closed[i]
		if c.how != finByUs || time.Since(c.at) > keeps {
			continue
		}
		if there, err := known(c.local, c.remote); err == nil && !there {
			c.how = rst
		}
	}
}

func (r *Receipt) connections() Connections {
	c := Connections{Dialed: int(r.dialed.Load()), Reused: int(r.reused.Load()), Kept: int(r.kept.Load()), Closed: len(r.closed)}
	for _, closed := range r.closed {
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

// phase is a part of a call as it happened.
type phase struct {
	op, name string
	at, took time.Duration
	over     bool
	failed   bool
}

// Phase is a part of a call, such as its connect.
type Phase struct {
	Op     string   `json:"op,omitempty"` // of a run of several
	Name   string   `json:"name"`
	At     *float64 `json:"at_ms"`
	Took   *float64 `json:"took_ms"` // nil while it goes on
	Failed bool     `json:"failed,omitempty"`
}

// PhaseBegan says that a phase of the call of op begins. What it returns says
// that the phase ended, and is called again for one that went on: the last time
// counts. A phase may end, and even begin, when the receipt is complete.
func (r *Receipt) PhaseBegan(op, name string) (ended func(error)) {
	now := time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.phases == nil {
		r.phases = make([]phase, 0, 4) // a call on a pooled connection has no more
	}
	i := len(r.phases)
	r.phases = append(r.phases, phase{op: op, name: name, at: now.Sub(r.start)})
	return func(err error) {
		now := time.Now()
		r.mu.Lock()
		defer r.mu.Unlock()
		p := &r.phases[i]
		p.took, p.over, p.failed = now.Sub(r.start)-p.at, true, err != nil
	}
}

// DialOutlived says that a dial of the run went on when its call had returned,
// and what would end such a one.
func (r *Receipt) DialOutlived(remedy string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.outlived++
	r.remedy = remedy
}

// viewPhases returns the phases as they stand. The caller has the lock.
func (r *Receipt) viewPhases() []Phase {
	views := make([]Phase, len(r.phases))
	for i, p := range r.phases {
		views[i] = Phase{Name: p.name, At: ms(p.at), Failed: p.failed}
		if r.run.Ops > 1 {
			views[i].Op = p.op
		}
		if p.over {
			views[i].Took = ms(p.took)
		}
	}
	return views
}
