package timewait

import (
	"context"
	"net/http"
	"time"

	"gotimeout/slowops"
	"gotimeout/strategies"
)

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
