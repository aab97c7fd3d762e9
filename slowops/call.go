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

// Call describes one call of an op. The zero value is an aware call without slow work.
type Call struct {
	Delay       time.Duration // how long the backend works; 0 is no slow work
	Deaf        bool          // the op ignores its context
	DeafBackend bool          // http and grpc: call the handler that ignores that its client has left
	Work        string        // db: WorkSleep, also for "", or WorkCPU
	Run         string        // the run's tag, by which a backend reports: letters, digits and dashes
	Traceparent string        // the W3C trace context for the backend, or ""; like Run, safe in a header and in an SQL comment

	// IOTimeout sets the timeouts of the client itself; 0 sets none. For http
	// these are http.Client.Timeout and the dialer's timeout, for the cache
	// gomemcache's Timeout, for the database timeout, readTimeout and
	// writeTimeout of the DSN, for redis DialTimeout, ReadTimeout and WriteTimeout, for
	// grpc the timeout of a method in a service config.
	IOTimeout time.Duration

	// The timeouts of single phases; 0 sets none. ConnectTimeout bounds the dial
	// with its DNS lookup, TLSTimeout the TLS handshake, HeaderTimeout the time
	// from the request to the last header of the answer, and ReadTimeout the time
	// between two reads. grpc has ConnectTimeout alone, with the TLS handshake in it.
	// The cache, the database and redis have ConnectTimeout and ReadTimeout alone. Their
	// drivers have no timeout for a whole call, so there IOTimeout bounds each dial,
	// read and write that has no timeout of its own.
	ConnectTimeout, TLSTimeout, HeaderTimeout, ReadTimeout time.Duration

	// ServerLimit is the limit that the call gives the server for its work; 0 is none.
	// KillAfter is when the call has the server end the work, from a second connection;
	// 0 is never. The database alone has them.
	ServerLimit, KillAfter time.Duration

	// Target names one of HTTP.Targets or GRPC.Targets, which is called instead of the
	// op's server.
	Target string

	// Params are the parameters that only some clients have, by their names. A client
	// names its own, and ignores those of others.
	Params map[string]string

	// Limit ends also a deaf call, so that no call waits for ever for a silent
	// server; 0 is no limit. The error then matches ErrLimit. Choose a Limit far
	// longer than every timeout: a reader would mistake a short one for the
	// strategy's timeout.
	Limit time.Duration

	Observer
}

// Observer has the funcs that a call reports to. Each func may be nil and must not block.
//
// Every func but Orphaned may be called from any goroutine, and also after the call
// has returned: net/http goes on to dial for a request that has ended, and a pool
// may close the call's connection later. The same holds for the funcs that Phase
// and Outlived return. Orphaned is called by the goroutine that called Do, before Do
// returns.
type Observer struct {
	Dialed func() // the call begins to dial a connection
	Reused func() // the call takes an idle connection from the pool
	Kept   func() // the call gives its connection back to the pool

	// Closed is called when the call's connection is closed. how is EndFIN,
	// EndPeer or EndRST, or "" where the operating system doesn't show how.
	Closed func(how string, local, remote netip.AddrPort)

	// Phase is called when a phase of the call begins; op is "http", "cache",
	// "db", "postgres", "redis" or "grpc". The func that Phase returns is called when the phase ends, with the
	// error of the phase or nil. A phase may pause and go on: end is then called
	// again, and its last call counts.
	Phase func(op, name string) (end func(error))

	// Orphaned is called when the program of a command has ended by itself while other
	// processes of its group run on. They are then killed.
	Orphaned func()

	// Outlived is called for each dial that goes on when the call returns, or begins later.
	// remedy is a sentence about how to bound such dials. The func that Outlived returns is
	// called once, when the dial has ended.
	Outlived func(remedy string) (ended func())
}

func (o *Observer) phase(op, name string) (end func(error)) {
	if o.Phase == nil {
		return func(error) {}
	}
	return o.Phase(op, name)
}

// context returns the context that bounds the call.
func (c *Call) context(ctx context.Context) (context.Context, context.CancelFunc) {
	if c.Deaf {
		ctx = context.WithoutCancel(ctx)
	}
	at, bounded := ctx.Deadline()
	if c.Limit == 0 || bounded && time.Until(at) < c.Limit {
		return ctx, func() {}
	}
	return context.WithTimeoutCause(ctx, c.Limit, ErrLimit)
}

// ErrLimit is matched by the error of a call that took as long as its Limit.
var ErrLimit = errors.New("the call took as long as it may")

// limited adds ErrLimit to an error that the Limit of a call caused.
func limited(ctx context.Context, err error) error {
	if err != nil && context.Cause(ctx) == ErrLimit {
		return fmt.Errorf("%w: %w", ErrLimit, err)
	}
	return err
}

// The kinds of work of a MySQL call with a delay.
const (
	WorkSleep = "sleep" // SELECT SLEEP: the server waits, and checks every 5 s whether its client is still there
	WorkCPU   = "cpu"   // SELECT BENCHMARK: the server computes, and never checks
)

// seconds writes d as the backends read it, such as "0.3".
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
	serverLimit       = "server_limit"
	queryKilled       = "query_killed"
	connectionRefused = "connection_refused"
	connectionReset   = "connection_reset"
	dnsError          = "dns_error"
	unexpectedEOF     = "unexpected_eof"
	wrongAnswer       = "wrong_answer"
)

// Failure is an error of a call that has a name. errors.As finds it.
type Failure struct {
	code   string
	within time.Duration // the timeout that passed; 0 for other errors
	err    error
}

// Code returns the name of the error. For one of the call's own timeouts that is
// connect_timeout, tls_timeout, header_timeout, read_timeout or total_timeout, for that
// of the server server_limit, and for a kill by the call query_killed; else
// connection_refused, connection_reset, dns_error, unexpected_eof, or wrong_answer
// where the answer belongs to the question of another call.
func (f *Failure) Code() string { return f.code }

// Timeout reports whether the error is a timeout of the call, or the limit that it gave the server.
func (f *Failure) Timeout() bool { return f.within > 0 }

// Unwrap returns the client's own error.
func (f *Failure) Unwrap() error { return f.err }

func (f *Failure) Error() string {
	if format := timeoutFormats[f.code]; format != "" {
		return fmt.Sprintf(format, f.within) + ": " + f.err.Error()
	}
	return f.err.Error()
}

// timeoutFormats are the messages of the timeouts of phases.
var timeoutFormats = map[string]string{
	connectTimeout: "no connection within %s",
	tlsTimeout:     "no TLS handshake within %s",
	headerTimeout:  "no headers within %s",
	readTimeout:    "nothing to read for %s",
	serverLimit:    "the server ended the statement at its limit of %s",
	queryKilled:    "the query was killed after %s",
}

// named returns err as a *Failure if it has a name and is no timeout. A *Failure
// is returned as it is.
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

// isTimeout reports whether err is a timeout: by a Timeout method, or as deadline exceeded.
func isTimeout(err error) bool {
	var says interface{ Timeout() bool }
	return errors.Is(err, os.ErrDeadlineExceeded) || errors.As(err, &says) && says.Timeout()
}
