package slowops

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"time"
)

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
