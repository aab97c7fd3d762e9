package receipt

import (
	"context"
	"time"
)

// Changed returns a channel that is closed when more is known of the run: it
// was answered, an op or a backend ended, or it is complete. Ask for it before
// a View, and no change is missed. A complete receipt may never change again.
func (r *Receipt) Changed() <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.watch()
}

// watch makes the channel for the first who watches: a run that nobody does
// costs nothing more. The caller has the lock.
func (r *Receipt) watch() <-chan struct{} {
	if r.changed == nil {
		r.changed = make(chan struct{})
	}
	return r.changed
}

// tell tells who watches of a change. The caller has the lock.
func (r *Receipt) tell() {
	if r.changed != nil {
		close(r.changed)
		r.changed = nil
	}
}

// Wait returns when the receipt is complete or ctx is done.
func (r *Receipt) Wait(ctx context.Context) {
	for {
		r.mu.Lock()
		if r.complete {
			r.mu.Unlock()
			return
		}
		changed := r.watch()
		r.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}

// HasAnswer tells whether the caller has its answer.
func (r *Receipt) HasAnswer() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.status != ""
}

// Watcher is told what becomes of a ledger's runs. Its methods are called at
// once from many goroutines and with locks held: they must be quick, and must
// not use the ledger or a receipt. A run belongs to the receipt and must not be
// changed.
type Watcher interface {
	Refused(*Run)            // was not started
	Answered(*Run, Figures)  // has its answer; what comes after it is not known yet
	Completed(*Run, Figures) // is complete
}

// Figures are what is known of a run. Each of those after the answer is told
// once, the first time that a receipt is complete and it is known: where a late
// backend opens the receipt again and works for longer than those before it,
// the figure told stays theirs.
type Figures struct {
	Start    time.Time
	Status   Status
	Answered time.Duration
	// As in the View.
	Overshoot, Straggle, Waste Figure
}

// Figure is a time that may not be known.
type Figure struct {
	Known bool
	Time  time.Duration
}

// OnComplete calls f with what a watcher is told when the receipt is complete,
// under the same rules. It must be set before the ops are called.
func (r *Receipt) OnComplete(f func(Figures)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.onComplete = f
}

// Run returns what was asked for.
func (r *Receipt) Run() Run { return r.run }

// Overshoot returns how long after the timeout the answer came.
func (r *Receipt) Overshoot() Figure {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.overshoot()
}

// tellAnswered tells the watcher of the answer.
func (r *Receipt) tellAnswered() {
	if w := r.ledger.Watcher; w != nil {
		w.Answered(&r.run, r.figures())
	}
}

// tellComplete tells those who watch that the receipt is complete.
func (r *Receipt) tellComplete() {
	if r.ledger.Watcher == nil && r.onComplete == nil {
		return
	}
	f := r.figures()
	f.Straggle.Known = f.Straggle.Known && !r.toldStraggle
	f.Waste.Known = f.Waste.Known && !r.toldWaste
	r.toldStraggle = r.toldStraggle || f.Straggle.Known
	r.toldWaste = r.toldWaste || f.Waste.Known
	if w := r.ledger.Watcher; w != nil {
		w.Completed(&r.run, f)
	}
	if r.onComplete != nil {
		r.onComplete(f)
	}
}

func (r *Receipt) figures() Figures {
	return Figures{
		Start: r.start, Status: r.status, Answered: r.answered,
		Overshoot: r.overshoot(), Straggle: r.straggle(), Waste: r.waste(),
	}
}

// overshoot is known of every bounded run that was answered at its timeout or
// later, whatever the answer was: a deaf op may complete long after the bound.
func (r *Receipt) overshoot() Figure {
	bounded := r.run.Timeout > 0 && !r.run.Unbounded
	return Figure{bounded && r.hasAnswer() && r.answered >= r.run.Timeout, r.answered - r.run.Timeout}
}

func (r *Receipt) straggle() Figure {
	return Figure{r.hasAnswer() && r.pending == 0, max(0, r.ended-r.answered)}
}

// waste is not known before the receipt is complete: another backend may begin
// and be the last to stop.
func (r *Receipt) waste() Figure {
	return Figure{r.hasAnswer() && r.backendKnown(), max(0, r.backend-r.answered)}
}

func (r *Receipt) backendKnown() bool { return r.complete && r.run.Seen && !r.unseen && r.began > 0 }

// hasAnswer tells whether the caller has an answer, as far as the lab knows.
func (r *Receipt) hasAnswer() bool { return r.status != "" && r.status != Unanswered }
