package slowops

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strconv"
	"syscall"
	"time"
)

// Call says how one call of an op is to be.
type Call struct {
	Delay       time.Duration // how long the work takes; 0 is a call without slow work
	Deaf        bool          // ignore the context
	DeafBackend bool          // http: ask for the handler that ignores the client's disconnect
	Work        string        // db: WorkSleep or WorkCPU
	Run         string        // the run's tag: letters, digits and dashes
	Traceparent string        // the W3C trace context that goes with it, or ""; as Run, it must be safe in a header and in a comment

	// IOTimeout, where it is over 0, is given to the client's own timeouts:
	// http.Client.Timeout and the dialer's, gomemcache's Timeout, and the DSN's
	// timeout, readTimeout and writeTimeout.
	IOTimeout time.Duration

	// The timeouts of phases, each where it is over 0. ConnectTimeout bounds a
	// dial with the look-up of its name, TLSTimeout the TLS handshake,
	// HeaderTimeout the wait from the request written to the last header, and
	// ReadTimeout the wait between two reads. The cache and the database have
	// the first and the last; there IOTimeout bounds each dial, read and write
	// that has no timeout of its own, as their drivers have no total one.
	ConnectTimeout, TLSTimeout, HeaderTimeout, ReadTimeout time.Duration

	// Target, of http, is one of HTTP.Targets in the place of the httpbin.
	Target string

	// Limit, where it is over 0, ends even a deaf call, so that none waits for
	// ever for a server that says nothing. It must be far beyond every timeout,
	// or it would be taken for the strategy's.
	Limit time.Duration

	Observer
}

// Observer is told what a call does. Each func may be nil, and must not block.
//
// All of them but Outlived may be called from any goroutine, and also after the
// call has returned: net/http dials on for a request that has ended, and a pool
// closes an idle connection. The same holds for the func that Phase returns.
type Observer struct {
	Dialed func() // the call begins to dial a connection
	Reused func() // it takes a connection from the pool
	Kept   func() // it gives a connection back to the pool

	// Closed is called when the connection that the call holds is closed. how
	// is EndFIN, EndPeer or EndRST, or "" where the system doesn't tell.
	Closed func(how string, local, remote netip.AddrPort)

	// Phase is called when a phase of the call begins; op is "http", "cache" or
	// "db". The func that it returns is called when the phase ends, with the
	// error of the phase or nil. It is called again where the phase goes on
	// after a pause; the last call counts.
	Phase func(op, name string) (end func(error))

	// Outlived is called for each dial that goes on when the call returns.
	// remedy is a sentence on how to end such dials.
	Outlived func(remedy string)
}

func (o *Observer) phase(op, name string) (end func(error)) {
	if o.Phase == nil {
		return func(error) {}
	}
	return o.Phase(op, name)
}

// context returns the context that the call is to honour.
func (c *Call) context(ctx context.Context) (context.Context, context.CancelFunc) {
	if c.Deaf {
		ctx = context.WithoutCancel(ctx)
	}
	at, bounded := ctx.Deadline()
	if c.Limit == 0 || bounded && time.Until(at) < c.Limit {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, c.Limit)
}

// The kinds of work of a MySQL call with a delay.
const (
	WorkSleep = "sleep" // SELECT SLEEP: waits in the server, which looks every 5 s whether its client is still there
	WorkCPU   = "cpu"   // SELECT BENCHMARK: computes in the server, which doesn't look
)

// seconds writes d as the backends read it: "0.3".
func seconds(d time.Duration) string { return strconv.FormatFloat(d.Seconds(), 'f', -1, 64) }

func call(hook func()) {
	if hook != nil {
		hook()
	}
}

// The codes of a Failure.
const (
	connectTimeout    = "connect_timeout"
	tlsTimeout        = "tls_timeout"
	headerTimeout     = "header_timeout"
	readTimeout       = "read_timeout"
	totalTimeout      = "total_timeout"
	connectionRefused = "connection_refused"
	connectionReset   = "connection_reset"
	dnsError          = "dns_error"
	unexpectedEOF     = "unexpected_eof"
	wrongAnswer       = "wrong_answer"
)

// Failure is an error of a call, of a kind that has a name.
type Failure struct {
	code   string
	within time.Duration // the timeout, where it was one
	err    error
}

// Code names the kind: which of the call's timeouts it was, or
// connection_refused, connection_reset, dns_error, unexpected_eof or, where the
// answer was to another's question, wrong_answer.
func (f *Failure) Code() string { return f.code }

// Timeout tells whether it was one of the call's own timeouts.
func (f *Failure) Timeout() bool { return f.within > 0 }

// Unwrap returns the error as the client had it.
func (f *Failure) Unwrap() error { return f.err }

func (f *Failure) Error() string {
	if format := lacked[f.code]; format != "" {
		return fmt.Sprintf(format, f.within) + ": " + f.err.Error()
	}
	return f.err.Error()
}

// lacked says what there was not, of the timeouts of phases.
var lacked = map[string]string{
	connectTimeout: "no connection within %s",
	tlsTimeout:     "no TLS handshake within %s",
	headerTimeout:  "no headers within %s",
	readTimeout:    "nothing to read for %s",
}

// named makes a Failure of an error that is of no timeout, if its kind has a
// name. One that has already been made stays.
func named(err error) error {
	var made *Failure
	var lookUp *net.DNSError
	switch {
	case err == nil, errors.As(err, &made):
		return err
	case errors.As(err, &lookUp):
		return &Failure{code: dnsError, err: err}
	case errors.Is(err, errRefused):
		return &Failure{code: connectionRefused, err: err}
	case errors.Is(err, errReset), errors.Is(err, syscall.EPIPE):
		return &Failure{code: connectionReset, err: err}
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return &Failure{code: unexpectedEOF, err: err}
	}
	return err
}

// isTimeout tells whether err says in one of the usual ways that it is one.
func isTimeout(err error) bool {
	var says interface{ Timeout() bool }
	return errors.Is(err, os.ErrDeadlineExceeded) || errors.As(err, &says) && says.Timeout()
}
