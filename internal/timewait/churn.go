package timewait

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"gotimeout/internal/sockets"
	"gotimeout/slowops"
	"gotimeout/strategies"
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

// way is a way to call a server.
type way struct {
	name, why string // why is "" where it depends on whether calls were cut
	promise   promise
	slow      bool // the server takes longer than the timeout
	body      int  // of an answer, in bytes
	client    func(url string, ld load, m *meter) (do func(context.Context), done func())
}

// answer is a body that a client has read with the header.
const answer = 6

// unread is one that it has not.
const unread = 256 << 10

// ways are the ways of a plain client, and then the lab's strategies.
func ways() []way {
	all := []way{
		{"keep-alive off", "Each answer ends its connection, and whoever closes it first keeps a TIME-WAIT for each request: here that is a race of the two ends.",
			waits, false, answer, plain(withoutKeepAlive, get)},
		{"2 idle connections, the default", "MaxIdleConnsPerHost is 2 unless it is set: while the workers think, the client closes all connections but two.",
			churns, false, answer, plain(keeping(0), get)},
		{"enough idle connections", "MaxIdleConnsPerHost is the number of workers: each finds its connection again.",
			reused, false, answer, plain(enough, get)},
		{"a body not read", "The answer is closed with bytes unread, so the connection can't be used again, and closing it on unread bytes is an RST.",
			resets, false, unread, plain(enough, ignore)},
		{"cancelled by context", "", byCalls, true, answer, plain(enough, cancelling)},
		{"abandoned", "", byCalls, true, answer, abandoning},
	}
	for _, s := range strategies.All() {
		all = append(all, way{name: "strategy " + s.Name, promise: byCalls, slow: true, body: answer, client: strategy(s)})
	}
	return all
}

// request makes a request and deals with its answer.
type request func(ctx context.Context, client *http.Client, url string) error

// plain waits for each request, whose context has the timeout.
func plain(newClient func(load) *http.Client, do request) func(string, load, *meter) (func(context.Context), func()) {
	return func(url string, ld load, m *meter) (func(context.Context), func()) {
		client := newClient(ld)
		return func(ctx context.Context) {
			_ = m.op(func(ctx context.Context) error {
				return do(context.WithValue(ctx, timeoutKey{}, ld.timeout), client, url)
			})(ctx)
		}, client.CloseIdleConnections
	}
}

// timeoutKey is the context key of the timeout, for who wants one.
type timeoutKey struct{}

func withoutKeepAlive(load) *http.Client {
	c := newClient(0)
	c.Transport.(*http.Transport).DisableKeepAlives = true
	return c
}

func keeping(idle int) func(load) *http.Client {
	return func(load) *http.Client { return newClient(idle) }
}

// enough keeps one for each worker, and those that others were dialled beside.
func enough(ld load) *http.Client { return newClient(10 * ld.workers) }

// ignore closes an answer without reading it.
func ignore(ctx context.Context, client *http.Client, url string) error {
	resp, err := open(ctx, client, url)
	if err != nil {
		return err
	}
	return resp.Body.Close()
}

func cancelling(ctx context.Context, client *http.Client, url string) error {
	ctx, cancel := context.WithTimeout(ctx, ctx.Value(timeoutKey{}).(time.Duration))
	defer cancel()
	return get(ctx, client, url)
}

// abandoning waits no longer than the timeout for a request that goes on.
func abandoning(url string, ld load, m *meter) (func(context.Context), func()) {
	client := enough(ld)
	return func(ctx context.Context) {
		op, done := m.op(func(ctx context.Context) error { return get(ctx, client, url) }), make(chan error, 1)
		go func() { done <- op(ctx) }()
		select {
		case <-done:
		case <-time.After(ld.timeout):
		}
	}, client.CloseIdleConnections
}

// strategy calls by one of the lab's strategies, with the lab's own client.
func strategy(s strategies.Strategy) func(string, load, *meter) (func(context.Context), func()) {
	return func(url string, ld load, m *meter) (func(context.Context), func()) {
		op, call := slowops.NewHTTP(url, 0), slowops.Call{}
		if s.Client != nil {
			call.IOTimeout = s.Client(ld.timeout).IO
		}
		return func(ctx context.Context) {
			_ = s.Do(ctx, ld.timeout, m.op(func(ctx context.Context) error { return op.Do(ctx, call) }))
		}, op.Close
	}
}

// promise is what a way to call a server is to leave behind. Its bounds leave
// room for what chance and a busy machine change.
type promise struct {
	text string
	kept func(spent) bool // nil: it depends on whether calls were cut
}

var (
	byCalls = promise{}
	waits   = promise{"a connection for each request, each ends in a TIME-WAIT", func(s spent) bool {
		return s.opened == s.requests && s.timeWaits() >= s.opened
	}}
	churns = promise{"more than twice the ideal; all but the ideal in TIME-WAIT at the client", func(s spent) bool {
		return s.opened > 2*s.workers && s.atClient >= s.opened-s.workers
	}}
	resets = promise{"a connection for each request; more RSTs than TIME-WAITs", func(s spent) bool {
		return s.opened == s.requests && s.resets > s.timeWaits()
	}}
	reused = promise{"at most two for each call that was at work at once; no TIME-WAIT, no RST", func(s spent) bool {
		return s.opened <= 2*s.most && s.timeWaits()+s.resets == 0
	}}
	cut = promise{"one for most of the calls that were cut; more RSTs than TIME-WAITs", func(s spent) bool {
		return s.opened >= s.cut/2 && s.resets > s.timeWaits()
	}}
)

// spent is what a way cost.
type spent struct {
	load
	opened, atClient, atServer, resets int
	cut, most                          int // calls that ended with an error, and that were at work at once
}

func (s spent) timeWaits() int { return s.atClient + s.atServer }
