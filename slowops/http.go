package slowops

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync"
	"time"
)

// runHeader carries the run's tag to a backend that looks for it.
const runHeader = "Gotimeout-Run"

// HTTP is the op http: GET {base}/delay/{seconds}, its body read to the end.
type HTTP struct {
	// Via is the host:port to dial in the place of base's, which still is who
	// the request is for and whose certificate is checked. "" is base's own. Set
	// it before the first call.
	Via string

	// Targets are servers with a fault of their own, by name, each as base is,
	// and Roots is whom those with TLS are trusted by. Set them before the first
	// call.
	Targets map[string]string
	Roots   *x509.CertPool

	base      string
	maxConns  int
	transport *http.Transport
	targets   func() *http.Transport // made when Roots is set
}

// NewHTTP returns an op on the httpbin at base, such as "http://127.0.0.1:8080".
// maxConns bounds its connections; 0 is no bound. Close it after use.
func NewHTTP(base string, maxConns int) *HTTP {
	h := &HTTP{base: strings.TrimSuffix(base, "/"), maxConns: maxConns}
	h.transport = h.newTransport(false)
	h.targets = sync.OnceValue(func() *http.Transport { return h.newTransport(true) })
	return h
}

func (h *HTTP) newTransport(target bool) *http.Transport {
	t := &http.Transport{
		Proxy:               h.proxy,
		DialContext:         h.dial,
		MaxConnsPerHost:     h.maxConns,
		MaxIdleConnsPerHost: noLimit, // net/http's default of 2 closes the others while they are needed
		IdleConnTimeout:     idleTimeout,
		DisableCompression:  true,
	}
	if target {
		t.TLSClientConfig = &tls.Config{RootCAs: h.Roots}
		t.ForceAttemptHTTP2 = true // net/http leaves it out where it doesn't dial itself
	}
	return t
}

// transportOf returns the transport of a call, and what to call after it. One
// with timeouts of its phases has its own: there, and nowhere else, are
// TLSHandshakeTimeout and ResponseHeaderTimeout, a connection out of a pool has
// no connect and no TLS to bound, and one that others use can't be cut for one
// that reads too slowly.
func (h *HTTP) transportOf(c *Call) (t *http.Transport, done func()) {
	switch {
	case c.ConnectTimeout > 0 || c.TLSTimeout > 0 || c.HeaderTimeout > 0 || c.ReadTimeout > 0:
		t = h.newTransport(c.Target != "")
		t.TLSHandshakeTimeout, t.ResponseHeaderTimeout = c.TLSTimeout, c.HeaderTimeout
		return t, t.CloseIdleConnections
	case c.Target != "":
		return h.targets(), func() {}
	}
	return h.transport, func() {}
}

// proxy is the environment's, never for loopback. What is at Via is no such
// proxy, and would not understand a request to one.
func (h *HTTP) proxy(req *http.Request) (*url.URL, error) {
	if h.Via != "" {
		return nil, nil
	}
	return http.ProxyFromEnvironment(req)
}

// Close closes the idle connections and the dials that nobody waits for.
func (h *HTTP) Close() {
	h.transport.CloseIdleConnections()
	h.targets().CloseIdleConnections()
}

// Do calls. An answer other than 200 is an error; one that has a name is a
// *Failure.
func (h *HTTP) Do(ctx context.Context, c Call) error {
	ctx, cancel := c.context(ctx)
	defer cancel()
	t := newTrace(&c)
	err := h.do(ctx, t)
	t.leave(err)
	if err != nil && ctx.Err() == nil {
		return t.named(err)
	}
	return err
}

func (h *HTTP) do(ctx context.Context, t *trace) error {
	req, err := http.NewRequestWithContext(t.context(ctx), http.MethodGet, h.url(t.call), nil)
	if err != nil {
		return fmt.Errorf("http get: %w", err)
	}
	req.Header.Set(runHeader, t.call.Run)
	if t.call.Traceparent != "" {
		req.Header.Set("Traceparent", t.call.Traceparent)
	}
	transport, done := h.transportOf(t.call)
	defer done()
	client := http.Client{Transport: transport, Timeout: t.call.IOTimeout, CheckRedirect: dontFollow}
	resp, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("http: %w", err)
	}
	defer resp.Body.Close()
	t.end("headers", nil)
	t.begin("body", "body")
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return fmt.Errorf("http get %s: body: %w", req.URL.Redacted(), err)
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("http get %s: answered %s", req.URL.Redacted(), resp.Status)
	}
	return nil
}

// dontFollow makes a redirect an answer other than 200: behind it is a second
// request, on a connection that the call's hooks would take for the first one's.
func dontFollow(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

func (h *HTTP) url(c *Call) string {
	path, base := "/delay/", h.base
	if c.Target != "" {
		base = h.Targets[c.Target]
	}
	if c.DeafBackend {
		path = "/deaf/delay/"
	}
	return base + path + seconds(c.Delay)
}

// dial dials on a goroutine of the transport, in a context that keeps the
// request's values but not its end.
func (h *HTTP) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	t, _ := ctx.Value(traceKey{}).(*trace)
	defer t.dialed()()
	at, start := place{addr, h.Via}, time.Now()
	if t.call.Target != "" {
		at.via = ""
	}
	cn, err := dial(ctx, t.call, network, at)
	if limit := t.call.ConnectTimeout; limit > 0 && time.Since(start) >= limit && isTimeout(err) {
		return nil, &Failure{code: connectTimeout, within: limit, err: err}
	}
	if err != nil {
		return nil, err // not cn: a nil *conn is no nil net.Conn
	}
	return cn, nil
}

func ours(nc net.Conn) *conn {
	if secure, ok := nc.(*tls.Conn); ok {
		nc = secure.NetConn()
	}
	cn, _ := nc.(*conn)
	return cn
}

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
