package timewait

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"gotimeout/internal/sockets"
)

// load is what a way of calling is put under: workers that each wait for their
// call and think before the next.
type load struct {
	requests, workers int
	work, slow        time.Duration // of the server, for a call and for one that is to be cut
	think, timeout    time.Duration
}

func (l *lab) load() load {
	if l.fast {
		return load{200, 10, 5 * time.Millisecond, 40 * time.Millisecond, 10 * time.Millisecond, 10 * time.Millisecond}
	}
	return load{1000, 50, 20 * time.Millisecond, 60 * time.Millisecond, 30 * time.Millisecond, 20 * time.Millisecond}
}

// churn calls a server in many ways, and counts their connections.
func churn(ctx context.Context, l *lab) error {
	undo, err := set("tcp_tw_reuse", "0") // which would hide some
	if err != nil {
		return err
	}
	defer undo()
	for _, w := range ways() {
		s, err := l.try(ctx, w)
		if err != nil {
			return fmt.Errorf("%s: %w", w.name, err)
		}
		l.step(s)
	}
	return nil
}

// try puts a way under the load.
func (l *lab) try(ctx context.Context, w way) (s Step, err error) {
	ld := l.load()
	if w.slow {
		ld.work = ld.slow
	}
	srv, err := serveHTTP(ctx, func(rw http.ResponseWriter, r *http.Request) {
		select {
		case <-time.After(ld.work):
		case <-r.Context().Done():
		}
		_, _ = rw.Write(make([]byte, w.body))
	})
	if err != nil {
		return s, err
	}
	defer srv.close()
	before, err := sockets.Count()
	if err != nil {
		return s, err
	}
	var m meter
	do, done := w.client(srv.url, ld, &m)
	defer done()
	err = drive(ctx, ld, do)
	m.calls.Wait()
	if err != nil {
		return s, err
	}
	e, err := pooled(ctx, srv.port)
	if err != nil {
		return s, err
	}
	after, err := sockets.Count()
	if err != nil {
		return s, err
	}
	got := after.Sub(before)
	s = step(w, spent{ld, int(got.Opened), count(e.client, sockets.TimeWait), count(e.server, sockets.TimeWait),
		int(got.Resets), int(m.cut.Load()), int(m.most.Load())})
	// Nothing of it is left to be counted in the next one.
	done()
	srv.close()
	_, err = settled(ctx, srv.port)
	return s, err
}

// drive calls until all requests are made.
func drive(ctx context.Context, ld load, do func(context.Context)) error {
	var workers sync.WaitGroup
	for range ld.workers {
		workers.Go(func() {
			for range ld.requests / ld.workers {
				do(ctx)
				select {
				case <-time.After(ld.think):
				case <-ctx.Done():
					return
				}
			}
		})
	}
	workers.Wait()
	return context.Cause(ctx)
}

// meter watches calls, also those that nobody waits for.
type meter struct {
	calls          sync.WaitGroup
	now, most, cut atomic.Int64
}

// op returns an op that is counted, and must be called once.
func (m *meter) op(do func(context.Context) error) func(context.Context) error {
	m.calls.Add(1) // and not only when it is called, which may be late
	return func(ctx context.Context) error {
		defer m.calls.Done()
		now := m.now.Add(1)
		defer m.now.Add(-1)
		for most := m.most.Load(); now > most && !m.most.CompareAndSwap(most, now); {
			most = m.most.Load()
		}
		err := do(ctx)
		if err != nil {
			m.cut.Add(1)
		}
		return err
	}
}

// step tells what was spent, and judges it by what the way promises.
func step(w way, c spent) Step {
	s := Step{Did: w.name, Why: w.why, Figures: Figures{
		Requests: &c.requests, Opened: &c.opened, Ideal: &c.workers,
		ClientTimeWait: &c.atClient, ServerTimeWait: &c.atServer, Resets: &c.resets, TWReuse: number(0),
	}}
	s.Saw = fmt.Sprintf("%d connections opened, ideal are %d; TIME-WAIT: %d at the client, %d at the server; %d RST",
		c.opened, c.workers, c.atClient, c.atServer, c.resets)
	p := w.promise
	if p.kept == nil && c.cut > 0 {
		p = cut
		s.Why = fmt.Sprintf("%d of %d calls were cut: their answers are still to come, so their connections can't be used again.", c.cut, c.requests)
	} else if p.kept == nil {
		p = reused
		s.Why = fmt.Sprintf("No call was cut, so each connection went back into the pool; up to %d calls were at work at once.", c.most)
	}
	s.Expected, s.OK = p.text, p.kept(c)
	return s
}
