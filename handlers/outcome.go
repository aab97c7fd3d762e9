package handlers

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"gotimeout/internal/receipt"
	"gotimeout/internal/wire"
	"gotimeout/strategies"
)

// httpStatus is the one place that maps an outcome to HTTP.
var httpStatus = map[receipt.Status]int{
	receipt.Completed: http.StatusOK,
	receipt.TimedOut:  http.StatusGatewayTimeout,
	receipt.Failed:    http.StatusBadGateway,
	receipt.Refused:   http.StatusServiceUnavailable,
}

// coded is an error that knows the code of its kind, as those of a call that had
// timeouts of its own do, and one that got a wrong answer.
type coded interface {
	error
	Code() string
	Timeout() bool
}

// outcome says how a run of that strategy ended.
func outcome(ctx context.Context, s strategies.Strategy, timeout time.Duration, err error) (receipt.Status, *receipt.Error) {
	if at, bounded := ctx.Deadline(); err != nil && bounded && !time.Now().Before(at) {
		<-ctx.Done() // a socket's error may come a moment earlier
	}
	var panicked *strategies.PanicError
	var kind coded
	known := errors.As(err, &kind) && (s.Client != nil || kind.Code() == wrongAnswer)
	switch {
	case err == nil:
		return receipt.Completed, nil
	case known && kind.Timeout() && errors.Is(err, strategies.ErrTimeout):
		return receipt.TimedOut, &receipt.Error{Code: kind.Code(), Message: timedOut(timeout, err, kind)}
	case errors.Is(err, strategies.ErrTimeout):
		return receipt.TimedOut, &receipt.Error{Code: "timed_out", Message: timedOut(timeout, err, nil)}
	case context.Cause(ctx) == errLongest:
		return receipt.Failed, &receipt.Error{Code: "over_caps", Message: "the lab ended the run, which took longer than its caps on delay and timeout leave room for: is the backend or the network so slow?"}
	case ctx.Err() != nil:
		return receipt.Failed, &receipt.Error{Code: "caller_gone", Message: "the caller left before the answer"}
	case errors.As(err, &panicked):
		return receipt.Failed, &receipt.Error{Code: "op_panicked", Message: err.Error()}
	case known && !kind.Timeout():
		return receipt.Failed, &receipt.Error{Code: kind.Code(), Message: err.Error()}
	default:
		return receipt.Failed, &receipt.Error{Code: "op_failed", Message: err.Error()}
	}
}

// The codes of an op that mean something here.
const (
	totalTimeout = "total_timeout" // the timeout that is the run's own
	wrongAnswer  = "wrong_answer"  // to another's question: what any strategy may have left in a pool
)

// timedOut is the sentence of a timeout, with what the op said of it. One of a
// phase has a sentence of its own.
func timedOut(timeout time.Duration, err error, kind coded) string {
	of := strings.TrimPrefix(err.Error(), strategies.ErrTimeout.Error())
	if kind != nil && kind.Code() != totalTimeout {
		return strings.TrimPrefix(of, ": ")
	}
	return "no answer within " + timeout.String() + of
}

// refusals says for each error of the ledger what the caller can do.
var refusals = []struct {
	err            error
	code, sentence string
}{
	{receipt.ErrInFlight, "too_many_in_flight", "this lab has as many runs in flight as it allows (--max-in-flight): try again in a second"},
	{receipt.ErrAbandoned, "too_many_abandoned", "earlier runs have left as much work behind as this lab allows (--max-abandoned): try again when it has ended"},
	{receipt.ErrBusy, "too_many_busy", "this lab has as many runs that compute as its processors can bear: try again in a second"},
}

// unavailable answers for a run that the ledger refused.
func unavailable(w http.ResponseWriter, r *http.Request, why *receipt.Error) {
	w.Header().Set("Retry-After", "1")
	writeJSON(w, r, http.StatusServiceUnavailable, wire.Answer{Status: receipt.Refused, Error: why})
}

func refusal(err error) *receipt.Error {
	for _, r := range refusals {
		if errors.Is(err, r.err) {
			return &receipt.Error{Code: r.code, Message: r.sentence}
		}
	}
	return &receipt.Error{Code: "refused", Message: err.Error()}
}
