package timewait

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"gotimeout/internal/sockets"
	"gotimeout/strategies"
)

// load is the load of one kind of client: workers that each wait for their call and think before the next call.
type load struct {
	requests, workers int
	work, slow        time.Duration // of the server, for a call and for a call that is to be cut
	think, timeout    time.Duration
}

func (l *lab) load() load {
	if l.fast {
		return load{200, 10, 5 * time.Millisecond, 40 * time.Millisecond, 10 * time.Millisecond, 10 * time.Millisecond}
	}
	return load{1000, 50, 20 * time.Millisecond, 60 * time.Millisecond, 30 * time.Millisecond, 20 * time.Millisecond}
}

// churn calls a server with each kind of client, and counts the connections of each.
func churn(ctx context.Context, l *lab) error {
	undo, err := set(reuse, "0") // a reused TIME-WAIT would not be counted
	if err != nil {
		return err
	}
	defer undo()
	for _, c := range churnClients() {
		s, err := l.churn(ctx, c)
		if err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
		l.step(s)
	}
	return nil
}

// churn puts a client under the load.
func (l *lab) churn(ctx context.Context, c churnClient) (s Step, err error) {
	ld := l.load()
	if c.slow {
		ld.work = ld.slow
	}
	srv, err := serveHTTP(ctx, func(rw http.ResponseWriter, r *http.Request) {
		select {
		case <-time.After(ld.work):
		case <-r.Context().Done():
		}
		_, _ = rw.Write(make([]byte, c.body))
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
	do, done := c.client(srv.url, ld, &m)
	defer done()
	err = drive(ctx, ld, do)
	m.calls.Wait()
	if err != nil {
		return s, err
	}
	s, err = c.outcome(ctx, ld, &m, srv.port, before)
	if err != nil {
		return s, err
	}
	// The next client must not count the connections of this one.
	done()
	srv.close()
	_, err = settled(ctx, srv.port)
	return s, err
}

// outcome waits until the connections have settled as expected, and have stayed so for a while. Where they do not, the step has
// what there is when patience ends: on a busy machine a connection may be closed long after its last call.
func (c churnClient) outcome(ctx context.Context, ld load, m *meter, port uint16, before sockets.Counters) (s Step, err error) {
	const steady = 20 * time.Millisecond
	var last cost
	var since time.Time
	err = until(ctx, patience, func() (bool, error) {
		conns, err := look(port)
		if err != nil {
			return false, err
		}
		now, err := sockets.Count()
		if err != nil {
			return false, err
		}
		d := now.Sub(before)
		seen := cost{ld, int(d.Opened), count(conns.client, sockets.TimeWait), count(conns.server, sockets.TimeWait), int(d.TimeWaits),
			int(d.Resets), int(m.cut.Load()), int(m.most.Load())}
		if seen != last {
			last, since = seen, time.Now()
		}
		s = c.judge(seen)
		closing := conns.count() - conns.count(sockets.TimeWait, sockets.Established)
		return s.OK && closing == 0 && time.Since(since) >= steady, nil
	})
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

// meter counts calls, including those that run on after their strategy has returned.
type meter struct {
	calls          sync.WaitGroup
	now, most, cut atomic.Int64
}

// op returns an op that is counted, and must be called once.
func (m *meter) op(do func(context.Context) error) func(context.Context) error {
	m.calls.Add(1) // now, since an abandoned call may begin after its strategy has returned
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

// cost is what a load cost.
type cost struct {
	load
	opened, atClient, atServer int
	began, resets              int // began counts TIME-WAITs that are over too: on a busy machine the load may take a minute
	cut, most                  int // calls that ended with an error, and the most calls at work at once
}

// expectation is what a client should leave behind. Its bounds leave room for chance and a busy machine.
type expectation struct {
	text string
	met  func(cost) bool // nil: it depends on whether calls were cut
}

var (
	byCalls       = expectation{}
	allWait       = expectation{"a connection for each request, each ends in a TIME-WAIT", func(c cost) bool { return c.opened == c.requests && c.began >= c.opened }}
	allButTwoWait = expectation{"more than twice the ideal; all but the ideal in TIME-WAIT at the client", func(c cost) bool {
		return c.opened > 2*c.workers && c.began-c.atServer >= c.opened-c.workers
	}}
	allReset = expectation{"a connection for each request; more RSTs than TIME-WAITs", func(c cost) bool { return c.opened == c.requests && c.resets > c.began }}
	// A call without an idle connection dials, but takes a connection that comes free first: chance decides how many are opened.
	allPooled = expectation{"at most a connection for every second request, or two for each call at work at once; no TIME-WAIT, no RST", func(c cost) bool {
		return c.opened <= max(2*c.most, c.requests/2) && c.began+c.resets == 0
	}}
	cutReset = expectation{"one for most of the calls that were cut; more RSTs than TIME-WAITs", func(c cost) bool { return c.opened >= c.cut/2 && c.resets > c.began }}
)

// judge compares a cost with what is expected of the client.
func (c churnClient) judge(got cost) Step {
	s := Step{Did: c.name, Why: c.why, Figures: Figures{
		Requests: &got.requests, Opened: &got.opened, Ideal: &got.workers,
		ClientTimeWait: &got.atClient, ServerTimeWait: &got.atServer, Resets: &got.resets, TWReuse: new(0),
	}}
	s.Saw = fmt.Sprintf("%d connections opened, ideal are %d; TIME-WAIT: %d at the client, %d at the server; %d RST",
		got.opened, got.workers, got.atClient, got.atServer, got.resets)
	e := c.expected
	if e.met == nil && got.cut > 0 {
		e = cutReset
		s.Why = fmt.Sprintf("%d of %d calls were cut: their answers are still to come, so their connections cannot be used again.", got.cut, got.requests)
	} else if e.met == nil {
		e = allPooled
		s.Why = fmt.Sprintf("No call was cut, so each connection went back into the pool; up to %d calls were at work at once.", got.most)
	}
	s.Expected, s.OK = e.text, e.met(got)
	return s
}

// churnClient is a kind of client.
type churnClient struct {
	name, why string // why is "" where it depends on whether calls were cut
	expected  expectation
	slow      bool // the server takes longer than the timeout
	body      int  // of an answer, in bytes
	client    func(url string, ld load, m *meter) (do func(context.Context), done func())
}

const (
	shortBody = 6         // arrives with the header
	longBody  = 256 << 10 // does not
)

// churnClients are plain clients, and then a client for each strategy of package strategies that bounds one.
func churnClients() []churnClient {
	all := []churnClient{
		{"keep-alive off", "Each answer ends its connection, and the end that closes first keeps a TIME-WAIT for each request: here the two ends race for that.",
			allWait, false, shortBody, plain(withoutKeepAlive, readBody)},
		{"2 idle connections, the default", "MaxIdleConnsPerHost is 2 unless it is set: while the workers think, the client closes all connections but two.",
			allButTwoWait, false, shortBody, plain(func(load) *http.Client { return newClient(0) }, readBody)},
		{"enough idle connections", "MaxIdleConnsPerHost is at least the number of workers: each worker finds an idle connection.",
			allPooled, false, shortBody, plain(enough, readBody)},
		{"a body not read", "The client closes the answer with bytes unread. The connection cannot be used again, and closing a connection with unread bytes sends an RST.",
			allReset, false, longBody, plain(enough, leaveBody)},
		{"cancelled by context", "", byCalls, true, shortBody, plain(enough, cancelling)},
		{"abandoned", "", byCalls, true, shortBody, abandoning},
	}
	for _, s := range strategies.All() {
		if s.Outside != strategies.InProcess || !s.Suits("http") {
			continue
		}
		all = append(all, churnClient{name: "strategy " + s.Name, expected: byCalls, slow: true, body: shortBody, client: byStrategy(s)})
	}
	return all
}

// request makes a request and handles its answer.
type request func(ctx context.Context, c *http.Client, url string, timeout time.Duration) error

// plain waits for each request.
func plain(newClient func(load) *http.Client, do request) func(string, load, *meter) (func(context.Context), func()) {
	return func(url string, ld load, m *meter) (func(context.Context), func()) {
		client := newClient(ld)
		return func(ctx context.Context) {
			_ = m.op(func(ctx context.Context) error { return do(ctx, client, url, ld.timeout) })(ctx)
		}, client.CloseIdleConnections
	}
}

func withoutKeepAlive(load) *http.Client {
	c := newClient(0)
	c.Transport.(*http.Transport).DisableKeepAlives = true
	return c
}

// enough keeps idle connections for each worker, and for those that a dial opened although another connection came free.
func enough(ld load) *http.Client { return newClient(10 * ld.workers) }

func readBody(ctx context.Context, c *http.Client, url string, _ time.Duration) error {
	return get(ctx, c, url)
}

func leaveBody(ctx context.Context, c *http.Client, url string, _ time.Duration) error {
	resp, err := open(ctx, c, url)
	if err != nil {
		return err
	}
	return resp.Body.Close()
}

func cancelling(ctx context.Context, c *http.Client, url string, timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	return get(ctx, c, url)
}

// abandoning waits no longer than the timeout for a request, which goes on.
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

// byStrategy calls by one of the lab's strategies. The lab's own client would close what is idle for a second, which on a busy machine
// a connection is now and then, and leave a TIME-WAIT that is none of the strategy's.
func byStrategy(s strategies.Strategy) func(string, load, *meter) (func(context.Context), func()) {
	return func(url string, ld load, m *meter) (func(context.Context), func()) {
		client := enough(ld)
		client.Timeout = s.Bounds(ld.timeout).IO
		return func(ctx context.Context) {
			_ = s.Do(ctx, ld.timeout, m.op(func(ctx context.Context) error { return get(ctx, client, url) }))
		}, client.CloseIdleConnections
	}
}
