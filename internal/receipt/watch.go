package receipt

import "context"

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
