package slowops

import (
	"context"
	"crypto/tls"
	"errors"
	"net/http/httptrace"
	"sync"
	"time"
)

// trace follows one call through net/http. Its hooks run on goroutines of the
// transport, some of them when the call has long returned.
type trace struct {
	call  *Call
	began time.Time

	mu      sync.Mutex
	open    map[string]func(error) // the phases that go on; connects by address, as two race
	held    *conn
	shook   bool // began the TLS handshake
	wrote   bool // the request
	dialing int
}

// traceKey is the context key of the trace for which the transport dials.
type traceKey struct{}

func newTrace(c *Call) *trace {
	return &trace{call: c, began: time.Now(), open: map[string]func(error){}}
}

// context returns ctx with the trace in it.
func (t *trace) context(ctx context.Context) context.Context {
	return httptrace.WithClientTrace(context.WithValue(ctx, traceKey{}, t), &httptrace.ClientTrace{
		DNSStart:     func(httptrace.DNSStartInfo) { t.begin("dns", "dns") },
		DNSDone:      func(info httptrace.DNSDoneInfo) { t.end("dns", info.Err) },
		ConnectStart: func(_, addr string) { t.begin("connect", "connect "+addr) },
		ConnectDone:  func(_, addr string, err error) { t.end("connect "+addr, err) },

		TLSHandshakeStart: t.tlsStart,
		TLSHandshakeDone:  func(_ tls.ConnectionState, err error) { t.end("tls", err) },

		GotConn:              t.gotConn,
		WroteRequest:         t.wroteRequest,
		GotFirstResponseByte: t.gotFirstByte,
		PutIdleConn:          t.putIdle,
	})
}

func (t *trace) begin(name, key string) {
	end := t.call.phase("http", name)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.open[key] = end
}

// end ends a phase, if it goes on.
func (t *trace) end(key string, err error) {
	t.mu.Lock()
	end := t.open[key]
	delete(t.open, key)
	t.mu.Unlock()
	if end != nil {
		end(err)
	}
}

// next ends a phase and begins the one after it, at once: the hooks of an
// answer and of the request's end may come together. It tells whether the first
// was going on.
func (t *trace) next(phase, after string, err error) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	end := t.open[phase]
	if end == nil {
		return false
	}
	delete(t.open, phase)
	end(err)
	if err == nil {
		t.open[after] = t.call.phase("http", after)
	}
	return true
}

func (t *trace) tlsStart() {
	t.mu.Lock()
	t.shook = true
	t.mu.Unlock()
	t.begin("tls", "tls")
}

// gotConn holds the connection until the transport has it back in the pool.
func (t *trace) gotConn(info httptrace.GotConnInfo) {
	if info.Reused {
		call(t.call.Reused)
	}
	held := ours(info.Conn)
	t.mu.Lock()
	t.held = held
	t.mu.Unlock()
	if held != nil {
		held.hold(t.call)
	}
	t.bound()
	t.begin("request", "request")
}

// bound starts ReadTimeout's clock. The transport reads all the time, before
// the request too.
func (t *trace) bound() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.held != nil && t.call.ReadTimeout > 0 {
		t.held.bound(t.call.ReadTimeout)
	}
}

// wroteRequest may come after the answer's first byte.
func (t *trace) wroteRequest(info httptrace.WroteRequestInfo) {
	if t.next("request", "first_byte", info.Err) && info.Err == nil {
		t.bound()
		t.mu.Lock()
		t.wrote = true
		t.mu.Unlock()
	}
}

func (t *trace) gotFirstByte() {
	t.next("request", "first_byte", nil)
	t.next("first_byte", "headers", nil)
}

func (t *trace) putIdle(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err == nil && t.held != nil {
		t.held.release(t.call)
	}
}

// dialed counts a dial that goes on until done is called.
func (t *trace) dialed() (done func()) {
	t.count(1)
	return func() { t.count(-1) }
}

func (t *trace) count(n int) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.dialing += n
	return t.dialing
}

// remedy is for a dial without a timeout of its own.
const remedy = "net/http dials on when the request has ended: set net.Dialer.Timeout, or end such dials with Transport.CloseIdleConnections"

// leave ends what the call waited for. The phases of a dial go on with it.
func (t *trace) leave(err error) {
	for _, key := range []string{"request", "first_byte", "headers", "body"} {
		t.end(key, err)
	}
	if t.call.IOTimeout > 0 || t.call.ConnectTimeout > 0 || t.call.Outlived == nil {
		return // the dialer's own timeout ends it
	}
	for range t.count(0) {
		t.call.Outlived(remedy)
	}
}

// named names an error of a call whose own context is not done. Where net/http
// says no more than that it was a timeout, it is that of the phase that went on.
func (t *trace) named(err error) error {
	var made *Failure
	t.mu.Lock()
	defer t.mu.Unlock()
	c := t.call
	switch {
	case errors.As(err, &made) || !isTimeout(err):
		return named(err)
	case c.IOTimeout > 0 && time.Since(t.began) >= c.IOTimeout:
		return &Failure{code: totalTimeout, within: c.IOTimeout, err: err}
	case c.HeaderTimeout > 0 && t.wrote:
		return &Failure{code: headerTimeout, within: c.HeaderTimeout, err: err}
	case c.TLSTimeout > 0 && t.shook:
		return &Failure{code: tlsTimeout, within: c.TLSTimeout, err: err}
	}
	return named(err)
}
