package slowops

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
)

// runHeader carries the run's tag to a backend that looks for it.
const runHeader = "Gotimeout-Run"

// HTTP is the op http: GET {base}/delay/{seconds}, its body read to the end.
type HTTP struct {
	// Via is the host:port to dial in the place of base's, which still is who
	// the request is for and whose certificate is checked. "" is base's own. Set
	// it before the first call.
	Via string

	base      string
	transport *http.Transport
}

// NewHTTP returns an op on the httpbin at base, such as "http://127.0.0.1:8080".
// maxConns bounds its connections; 0 is no bound. Close it after use.
func NewHTTP(base string, maxConns int) *HTTP {
	h := &HTTP{base: strings.TrimSuffix(base, "/")}
	h.transport = &http.Transport{
		Proxy:               h.proxy,
		DialContext:         h.dial,
		MaxConnsPerHost:     maxConns,
		MaxIdleConnsPerHost: noLimit, // net/http's default of 2 closes the others while they are needed
		IdleConnTimeout:     idleTimeout,
		DisableCompression:  true,
	}
	return h
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
func (h *HTTP) Close() { h.transport.CloseIdleConnections() }

// Do calls. An answer other than 200 is an error.
func (h *HTTP) Do(ctx context.Context, c Call) error {
	ctx, cancel := c.context(ctx)
	defer cancel()
	ctx = traced(context.WithValue(ctx, callKey{}, &c), &c)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, h.url(c), nil)
	if err != nil {
		return fmt.Errorf("http get: %w", err)
	}
	req.Header.Set(runHeader, c.Run)
	client := http.Client{Transport: h.transport, Timeout: c.IOTimeout, CheckRedirect: dontFollow}
	resp, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("http: %w", err)
	}
	defer resp.Body.Close()
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

func (h *HTTP) url(c Call) string {
	path := "/delay/"
	if c.DeafBackend {
		path = "/deaf/delay/"
	}
	return h.base + path + seconds(c.Delay)
}

// callKey is the context key of the call for which the transport dials.
type callKey struct{}

// dial dials on a goroutine of the transport, in a context that keeps the
// request's values but not its end.
func (h *HTTP) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	c, _ := ctx.Value(callKey{}).(*Call)
	cn, err := dial(ctx, c, network, place{addr, h.Via})
	if err != nil {
		return nil, err // not cn: a nil *conn is no nil net.Conn
	}
	return cn, nil
}

// traced tells c of the connection that the transport gives it, which it holds
// until the transport has it back in the pool.
func traced(ctx context.Context, c *Call) context.Context {
	var held *conn
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(info httptrace.GotConnInfo) {
			if info.Reused {
				call(c.Reused)
			}
			if held = ours(info.Conn); held != nil {
				held.hold(c)
			}
		},
		PutIdleConn: func(err error) {
			if err == nil && held != nil {
				held.release(c)
			}
		},
	})
}

func ours(nc net.Conn) *conn {
	if secure, ok := nc.(*tls.Conn); ok {
		nc = secure.NetConn()
	}
	cn, _ := nc.(*conn)
	return cn
}
