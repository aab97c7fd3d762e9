package receipt

import "time"

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
