package receipt

import (
	"context"
	"time"
)

// Changed returns a channel that is closed at the next change: an answer, the end of
// an op or of a backend, or the receipt is complete. A caller that asks for the
// channel before it takes a View misses no change. A complete receipt may never
// change again.
func (r *Receipt) Changed() <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.watch()
}

// watch makes the channel when the first caller asks for it, so that a run without
// one does not pay for it. The caller has the lock.
func (r *Receipt) watch() <-chan struct{} {
	if r.changed == nil {
		r.changed = make(chan struct{})
	}
	return r.changed
}

// notify closes the channel of Changed. The caller has the lock.
func (r *Receipt) notify() {
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

// HasAnswer reports whether the caller has its answer.
func (r *Receipt) HasAnswer() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.status != ""
}

// Watcher hears of the runs of a ledger. Its methods are called from many goroutines
// at once, with locks held: they must be quick and must not use the ledger or a
// receipt. A run belongs to its receipt and must not be changed.
type Watcher interface {
	Refused(*Run)            // the run was not started
	Answered(*Run, Figures)  // the run has its answer; later figures are not known yet
	Completed(*Run, Figures) // the receipt is complete
}

// Figures are the known times of a run. Straggle and Waste are reported once, the
// first time that the receipt is complete and the figure is known: a late backend
// that opens the receipt again does not change the reported figure.
type Figures struct {
	Start    time.Time
	Status   Status
	Answered time.Duration
	// As in View.
	Overshoot, Straggle, Waste Figure
}

// Figure is a time that may not be known.
type Figure struct {
	Known bool
	Time  time.Duration
}

// OnComplete sets f, which is called as Watcher.Completed is and under the same
// rules. It must be set before the ops are called.
func (r *Receipt) OnComplete(f func(Figures)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.onComplete = f
}

// Run returns the description of the run.
func (r *Receipt) Run() Run { return r.run }

// Overshoot returns how long after the timeout the answer came.
func (r *Receipt) Overshoot() Figure {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.overshoot()
}

// watcherAnswered reports the answer to the watcher.
func (r *Receipt) watcherAnswered() {
	if w := r.ledger.Watcher; w != nil {
		w.Answered(&r.run, r.figures())
	}
}

// watcherCompleted reports that the receipt is complete, to the watcher and to
// OnComplete's function.
func (r *Receipt) watcherCompleted() {
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

// waste is unknown before the receipt is complete: another backend may begin and be
// the last to stop.
func (r *Receipt) waste() Figure {
	return Figure{r.hasAnswer() && r.backendKnown(), max(0, r.backend-r.answered)}
}

func (r *Receipt) backendKnown() bool { return r.complete && r.run.Seen && !r.unseen && r.began > 0 }

// hasAnswer reports whether the caller has an answer, as far as the lab knows.
func (r *Receipt) hasAnswer() bool { return r.status != "" && r.status != Unanswered }
