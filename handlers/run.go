package handlers

import (
	"context"
	"errors"
	"net/http"

	"gotimeout/internal/receipt"
	"gotimeout/strategies"
)

// run serves one strategy.
func (l *Lab) run(s strategies.Strategy) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		p, err := l.parse(r.URL.RawQuery)
		if err != nil {
			badParameter(w, err)
			return
		}
		rc, err := l.execute(r.Context(), s, p)
		if err != nil {
			unavailable(w, err)
			return
		}
		v := rc.View()
		writeJSON(w, httpStatus[*v.Status], answerOf(v))
	}
}

// execute runs an op under a strategy and returns the answered receipt. Its
// errors are those of the ledger: nothing was run.
func (l *Lab) execute(ctx context.Context, s strategies.Strategy, p params) (*receipt.Receipt, error) {
	call := Call{
		Delay: p.delay, Deaf: p.ctx == "deaf",
		DeafBackend: p.backend == "deaf", Work: p.work,
	}
	if s.Family == strategies.InsideClient {
		call.IOTimeout = p.timeout
	}
	var unprepared error
	if p.op.Prepare != nil {
		unprepared = p.op.Prepare(ctx, call)
	}
	rc, err := l.Ledger.Open(receipt.Run{
		Name: s.Name, Family: string(s.Family), Slow: p.op.Name,
		Ctx: p.ctx, Work: p.work, Backend: p.backend,
		Delay: p.delay, Timeout: p.timeout,
		Ops: len(p.op.Parts), Backends: p.op.Reports, Seen: p.op.Seen,
		Busy: p.op.Busy != nil && p.op.Busy(call),
	})
	if err != nil {
		return nil, err
	}
	call.Run = rc.ID()
	call.Dialed, call.Reused, call.Closed = rc.ConnDialed, rc.ConnReused, rc.ConnClosed
	ops := make([]strategies.Op, len(p.op.Parts))
	for i, part := range p.op.Parts {
		op := part(call)
		if unprepared != nil {
			op = func(context.Context) error { return unprepared }
		}
		ops[i] = rc.Wrap(op)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, l.longest(), errLongest)
	defer cancel()
	rc.Answered(outcome(ctx, p.timeout, safely(ctx, s, p, ops)))
	return rc, nil
}

// errLongest ends a run that takes more than both caps together, such as the
// baseline on a network that delivers nothing.
var errLongest = errors.New("longer than the lab allows")

// safely runs the strategy. A panic of an op on this goroutine becomes an
// error, so that no request is without an outcome.
func safely(ctx context.Context, s strategies.Strategy, p params, ops []strategies.Op) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &strategies.PanicError{Value: v}
		}
	}()
	return s.Do(ctx, p.timeout, ops...)
}
