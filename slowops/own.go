package slowops

import (
	"context"
	"crypto/tls"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os/exec"

	"github.com/go-sql-driver/mysql"
	"google.golang.org/grpc/status"
)

// discreet is an error of an own call: of a request, statement, key or program. These may be
// secret, and the clients quote them in their errors, so the text of a discreet error is
// this package's. Unwrap returns the client's error.
type discreet struct {
	text string
	err  error
}

func (e *discreet) Error() string { return e.text }
func (e *discreet) Unwrap() error { return e.err }

// keepSecret gives an error of an own call a text that quotes nothing of the call.
func keepSecret(what string, err error) error {
	if err == nil {
		return nil
	}
	return &discreet{what + ": " + cause(err), err}
}

// plainError is an error of this package that quotes nothing.
type plainError string

func (e plainError) Error() string { return string(e) }

// cause returns the text of an error without the parts that it may quote from the call.
func cause(err error) string {
	var plain plainError
	var failure *Failure
	var server *mysql.MySQLError
	var state interface{ SQLState() string } // of pgx
	var answer interface {
		error
		RedisError()
	}
	switch errors.As(err, &failure); {
	case errors.As(err, &plain):
		return plain.Error()
	case errors.Is(err, ErrLimit):
		return ErrLimit.Error()
	case failure != nil && timeoutFormats[failure.code] != "":
		return fmt.Sprintf(timeoutFormats[failure.code], failure.within)
	case failure != nil && failure.code == wrongAnswer:
		return "the answer to another question: the connection is poisoned"
	case errors.As(err, &server):
		return fmt.Sprintf("error %d (%s) of the server, whose text is left out as it quotes the statement", server.Number, server.SQLState[:])
	case errors.As(err, &state):
		return fmt.Sprintf("error %s of the server, whose text is left out as it quotes the statement", state.SQLState())
	case errors.As(err, &answer):
		return "an error of the server, whose text is left out as it may quote the command"
	}
	for _, known := range []error{
		context.DeadlineExceeded, context.Canceled, io.ErrUnexpectedEOF, io.EOF, mysql.ErrInvalidConn, driver.ErrBadConn,
	} {
		if errors.Is(err, known) {
			return known.Error()
		}
	}
	return typed(err)
}

// typed returns the text of an error whose type quotes only addresses and certificates. For
// another error it returns a sentence that the text is left out.
func typed(err error) string {
	var io *net.OpError
	var lookUp *net.DNSError
	var certificate *tls.CertificateVerificationError
	var noTLS tls.RecordHeaderError
	var ended *exec.ExitError
	var program *exec.Error
	var path *fs.PathError
	var rpc interface{ GRPCStatus() *status.Status }
	switch {
	case errors.As(err, &io):
		return io.Error()
	case errors.As(err, &lookUp):
		return lookUp.Error()
	case errors.As(err, &certificate):
		return certificate.Error()
	case errors.As(err, &noTLS):
		return noTLS.Error()
	case errors.As(err, &ended):
		return ended.Error()
	case errors.As(err, &program):
		return program.Err.Error()
	case errors.As(err, &path):
		return path.Err.Error()
	case errors.As(err, &rpc):
		return fmt.Sprintf("code %s of the server, whose text is left out as it may quote the call", rpc.GRPCStatus().Code())
	}
	return "an error whose text is left out, as it may quote the call"
}
