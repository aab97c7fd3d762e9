package slowops

import (
	"cmp"
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
	"slices"
	"strings"
	"sync"
	"time"
)

// runHeader carries the run's tag to a backend that looks for it.
const runHeader = "Gotimeout-Run"

// HTTP is the op http: it gets {base}/delay/{seconds} and reads the body to its end.
// With a Request, the op makes that request instead.
type HTTP struct {
	// Request is the own call: each call sends a copy, with a body from GetBody. Expect
	// reports whether a status is a success; nil accepts each status below 500. With
	// Redirects, calls follow redirects to other servers too. A call with a Request
	// uses only its run's tag and its timeouts, and its errors quote nothing of the
	// Request. Set all three before the first call.
	Request   *http.Request
	Expect    func(status int) bool
	Redirects bool

	// Via is the host:port to dial instead of base's. The request and the check
	// of the certificate still name base's host. "" dials base's own host. Set
	// Via before the first call.
	Via string

	// Targets are base URLs of servers with a fault, by the name for Call.Target.
	// Roots has the certificates for the targets with TLS. Set both before the
	// first call.
	Targets map[string]string
	Roots   *x509.CertPool

	base      string
	maxConns  int
	maxIdle   int
	transport *http.Transport
	targets   func() *http.Transport // makes the transport at its first call, after Roots is set
}

// NewHTTP returns an op on the httpbin at base, such as "http://127.0.0.1:8080".
// maxConns bounds the op's connections; 0 is no bound. Call Close after use.
func NewHTTP(base string, maxConns int) *HTTP {
	h := &HTTP{base: strings.TrimSuffix(base, "/"), maxConns: maxConns, maxIdle: noLimit}
	h.transport = h.newTransport(false)
	h.targets = sync.OnceValue(func() *http.Transport { return h.newTransport(true) })
	return h
}

// SetMaxIdle bounds the idle connections that the op keeps, half of them for targets; 0 keeps none. Call it before
// the first call.
func (h *HTTP) SetMaxIdle(n int) {
	h.maxIdle = n
	h.transport = h.newTransport(false)
}

func (h *HTTP) newTransport(target bool) *http.Transport {
	idle := (h.maxIdle + 1) / 2
	if target {
		idle = h.maxIdle / 2
	}
	if idle == 0 {
		idle = -1 // net/http has a default for 0
	}
	t := &http.Transport{
		Proxy:               h.proxy,
		DialContext:         h.dial,
		MaxConnsPerHost:     h.maxConns,
		MaxIdleConns:        max(idle, 0),
		MaxIdleConnsPerHost: idle, // net/http's default of 2 closes the others while they are needed
		IdleConnTimeout:     idleTimeout,
		DisableCompression:  true,
	}
	if target {
		t.TLSClientConfig = &tls.Config{RootCAs: h.Roots}
		t.ForceAttemptHTTP2 = true // net/http leaves it out where it doesn't dial itself
	}
	return t
}

// transportOf returns the transport of a call; done is called after the call. A call
// with timeouts of phases has a transport of its own, for three reasons: net/http
// has TLSHandshakeTimeout and ResponseHeaderTimeout in the Transport alone; on a
// pooled connection there is no connect and no TLS handshake to bound; and a
// deadline of one call must not cut a connection that other calls use.
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

// proxy returns the proxy of the environment, which is none for loopback. The
// server at Via is no HTTP proxy, and would not understand a request to one.
func (h *HTTP) proxy(req *http.Request) (*url.URL, error) {
	if h.Via != "" {
		return nil, nil
	}
	return http.ProxyFromEnvironment(req)
}

// Close closes the idle connections, and ends the dials of calls that have returned.
func (h *HTTP) Close() {
	h.transport.CloseIdleConnections()
	h.targets().CloseIdleConnections()
}

// Do makes the request. A status other than 200 is an error; for an own call, a status
// that Expect refuses. When ctx ended an aware call, the error matches ctx.Err(); another
// error that has a name is a *Failure.
func (h *HTTP) Do(ctx context.Context, c Call) error {
	ctx, cancel := c.context(ctx)
	defer cancel()
	t := &trace{Context: ctx, call: c, began: time.Now()}
	if c.Target != "" {
		t.toTarget, t.endDials = context.WithCancel(context.Background())
	}
	err := h.do(t)
	t.leave(err)
	if err != nil && ctx.Err() == nil {
		err = t.named(err)
	} else {
		err = limited(ctx, err)
	}
	if h.Request != nil {
		err = keepSecret("http", err)
	}
	return err
}

func (h *HTTP) do(t *trace) error {
	req, err := h.request(t.followed(), &t.call)
	if err != nil {
		return fmt.Errorf("http get: %w", err)
	}
	req.Header.Set(runHeader, t.call.Run)
	if t.call.Traceparent != "" {
		req.Header.Set("Traceparent", t.call.Traceparent)
	}
	if req.URL.Scheme == "https" || h.Redirects {
		t.followTLS()
	}
	transport, done := h.transportOf(&t.call)
	defer done()
	client := http.Client{Transport: transport, Timeout: t.call.IOTimeout, CheckRedirect: h.redirect}
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
	return h.judge(req, resp)
}

// request returns the request of a call.
func (h *HTTP) request(ctx context.Context, c *Call) (req *http.Request, err error) {
	if h.Request == nil {
		return http.NewRequestWithContext(ctx, http.MethodGet, h.url(c), nil)
	}
	req = h.Request.Clone(ctx)
	if req.GetBody != nil {
		req.Body, err = req.GetBody()
	}
	return req, err
}

// judge returns an error for an answer with the status of a failure.
func (h *HTTP) judge(req *http.Request, resp *http.Response) error {
	switch status := resp.StatusCode; {
	case h.Request == nil && status != http.StatusOK:
		return fmt.Errorf("http get %s: answered %s", req.URL.Redacted(), resp.Status)
	case h.Request != nil && h.Expect == nil && status >= http.StatusInternalServerError,
		h.Request != nil && h.Expect != nil && !h.Expect(status):
		return plainError(strings.TrimSpace(fmt.Sprintf("answered %d %s", status, http.StatusText(status))))
	}
	return nil
}

// maxRedirects is how many redirects an own call follows, as many as net/http.
const maxRedirects = 10

// redirect makes a redirect an error, like each status other than 200, because the
// Observer would get two requests. An own call follows redirects to its own server, or
// with Redirects to every server, and sends its headers there.
func (h *HTTP) redirect(to *http.Request, via []*http.Request) error {
	own := via[0].URL
	if t, ok := to.Context().Value(traceKey{}).(*trace); ok {
		t.end("headers", nil)
	}
	switch {
	case h.Request == nil:
		return http.ErrUseLastResponse
	case len(via) > maxRedirects:
		return plainError("redirected more than ten times")
	case !h.Redirects && (to.URL.Scheme != own.Scheme || to.URL.Host != own.Host):
		return plainError("redirected to another server, and an own request follows redirects to its own server alone")
	}
	return nil
}

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

// dial is called on a goroutine of the transport. Its context has the values of the
// request's context, but doesn't end with it.
func (h *HTTP) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	t, _ := ctx.Value(traceKey{}).(*trace)
	t.dials.begin()
	ended := t.dials.end
	defer func() { ended() }()
	ctx = t.followedDial(ctx)
	at, start := place{addr, h.Via}, time.Now()
	if t.call.Target != "" {
		at.via = ""
		var end context.CancelFunc
		ctx, end = context.WithCancel(ctx)
		defer end()
		defer context.AfterFunc(t.toTarget, end)()
	}
	cn, err := dial(ctx, &t.call, network, at)
	if limit := t.call.ConnectTimeout; limit > 0 && time.Since(start) >= limit && isTimeout(err) {
		return nil, &Failure{code: connectTimeout, within: limit, err: err}
	}
	if err != nil {
		return nil, err // not cn: a nil *conn in a net.Conn is not nil
	}
	if t.hooks.TLSHandshakeStart != nil {
		t.goOn(cn)
		ended = func() {}
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

// trace follows one call through net/http, and is the context of its request. Its
// hooks run on goroutines of the transport, some of them long after the call has
// returned. Each hook costs an allocation, so the hooks of a dial are set only for a dial.
type trace struct {
	context.Context // the context of the call

	call  Call
	began time.Time
	hooks httptrace.ClientTrace

	mu    sync.Mutex
	open  []openPhase // the phases that go on
	room  [2]openPhase
	held  *conn
	shook bool // the TLS handshake has begun
	wrote bool // the request is written

	dialed   *conn   // the last one that may have a handshake
	endShake *func() // ends the dial that the handshake belongs to

	dials    dials
	toTarget context.Context // of the dials to a target
	endDials context.CancelFunc
}

// openPhase is a phase by its name, and a connect also by its address, since two may race.
type openPhase struct {
	key string
	end func(error)
}

// traceKey is the context key of the trace for which the transport dials.
type traceKey struct{}

func (t *trace) Value(key any) any {
	if key == (traceKey{}) {
		return t
	}
	return t.Context.Value(key)
}

// followed returns the context of the request.
func (t *trace) followed() context.Context {
	t.open = t.room[:0]
	t.hooks.GotConn, t.hooks.PutIdleConn = t.gotConn, t.putIdle
	t.hooks.WroteRequest, t.hooks.GotFirstResponseByte = t.wroteRequest, t.gotFirstByte
	return httptrace.WithClientTrace(t, &t.hooks)
}

// followedDial returns the context of a dial.
func (t *trace) followedDial(ctx context.Context) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		DNSStart:     func(httptrace.DNSStartInfo) { t.begin("dns", "dns") },
		DNSDone:      func(info httptrace.DNSDoneInfo) { t.end("dns", info.Err) },
		ConnectStart: func(_, addr string) { t.begin("connect", "connect "+addr) },
		ConnectDone:  func(_, addr string, err error) { t.end("connect "+addr, err) },
	})
}

// followTLS follows the TLS handshake of the next dial.
func (t *trace) followTLS() {
	t.hooks.TLSHandshakeStart = t.tlsStart
	t.hooks.TLSHandshakeDone = t.tlsDone
}

// goOn has a dial go on, until its TLS handshake has ended, or the connection is used or closed: net/http goes on with
// the handshake, too, when the request has ended. A second after the call's own bound, or after a call to a target,
// the connection is closed.
func (t *trace) goOn(cn *conn) {
	within, cancel := cmp.Or(t.toTarget, context.Background()), func() {}
	if limit := cmp.Or(t.call.IOTimeout, t.call.Limit); limit > 0 {
		within, cancel = context.WithTimeout(within, limit+outlives)
	}
	stop := context.AfterFunc(within, func() { _ = cn.Close() })
	end := func() { stop(); cancel(); t.dials.end() }
	cn.dialing.Store(&end)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.dialed = cn
}

func (t *trace) begin(name, key string) {
	end := t.call.phase("http", name)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.open = append(t.open, openPhase{key, end})
}

// end ends a phase, if it goes on.
func (t *trace) end(key string, err error) {
	t.mu.Lock()
	end := t.take(key)
	t.mu.Unlock()
	if end != nil {
		end(err)
	}
}

// take returns the func that ends a phase, nil if the phase doesn't go on. The caller holds the
// lock.
func (t *trace) take(key string) (end func(error)) {
	i := slices.IndexFunc(t.open, func(p openPhase) bool { return p.key == key })
	if i < 0 {
		return nil
	}
	end = t.open[i].end
	t.open = slices.Delete(t.open, i, i+1)
	return end
}

// next ends a phase and begins the phase after it, in one step, because the hook of
// the answer and that of the written request may run at once. It reports whether
// the first phase was going on.
func (t *trace) next(phase, after string, err error) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	end := t.take(phase)
	if end == nil {
		return false
	}
	end(err)
	if err == nil {
		t.open = append(t.open, openPhase{after, t.call.phase("http", after)})
	}
	return true
}

func (t *trace) tlsStart() {
	t.mu.Lock()
	t.shook = true
	t.endShake = t.dialed.dialing.Swap(nil) // the close of a failed handshake comes before the end of the phase
	t.mu.Unlock()
	t.begin("tls", "tls")
}

func (t *trace) tlsDone(_ tls.ConnectionState, err error) {
	t.end("tls", err)
	t.mu.Lock()
	end := t.endShake
	t.endShake = nil
	t.mu.Unlock()
	if end != nil {
		(*end)()
	}
}

// gotConn makes the call the holder of the connection, until the transport has it back.
func (t *trace) gotConn(info httptrace.GotConnInfo) {
	if info.Reused {
		call(t.call.Reused)
	}
	held := ours(info.Conn)
	t.mu.Lock()
	t.held = held
	t.mu.Unlock()
	if held != nil {
		held.hold(&t.call)
	}
	t.boundReads()
	t.begin("request", "request")
}

// boundReads starts ReadTimeout. The transport reads from a connection all the
// time, also before the request.
func (t *trace) boundReads() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.held != nil && t.call.ReadTimeout > 0 {
		t.held.boundReads(t.call.ReadTimeout)
	}
}

// wroteRequest may be called after gotFirstByte.
func (t *trace) wroteRequest(info httptrace.WroteRequestInfo) {
	if t.next("request", "first_byte", info.Err) && info.Err == nil {
		t.boundReads()
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
		t.held.release(&t.call)
	}
}

// remedy tells how to end a dial that has no timeout of its own.
const remedy = "net/http dials on when the request has ended: set net.Dialer.Timeout, or end such dials with Transport.CloseIdleConnections"

// outlives is how long a dial to a target may outlive its call. net/http dials on for a later request; one to a
// faulty server helps none, and the kernel would try for over two minutes, with a descriptor each.
const outlives = time.Second

// leave ends the phases that the call waited for. The phases of a dial end with the dial.
func (t *trace) leave(err error) {
	for _, key := range []string{"request", "first_byte", "headers", "body"} {
		t.end(key, err)
	}
	if t.call.Target != "" {
		time.AfterFunc(outlives, t.endDials)
	}
	if t.call.IOTimeout == 0 && t.call.ConnectTimeout == 0 { // the dialer's own timeout would end it
		t.dials.outlive(&t.call, remedy)
	}
}

// named returns an error of a call whose context is not done as a *Failure if the error
// has a name. net/http has the same error for all its timeouts: the phase that was going
// on tells which timeout was exceeded.
func (t *trace) named(err error) error {
	var made *Failure
	t.mu.Lock()
	defer t.mu.Unlock()
	c := &t.call
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
