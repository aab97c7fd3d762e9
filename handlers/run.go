package handlers

import (
	"context"
	"errors"
	"net/http"
	"runtime/debug"

	"gotimeout/internal/receipt"
	"gotimeout/slowops"
	"gotimeout/strategies"
)

// run serves one strategy.
func (l *Lab) run(s strategies.Strategy) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		p, err := l.parse(r.URL.RawQuery)
		if err == nil {
			err = p.allowed(s)
		}
		if err != nil {
			badParameter(w, r, err)
			return
		}
		rc, err := l.execute(r.Context(), s, p)
		if err != nil {
			unavailable(w, r, refusal(err))
			return
		}
		v := rc.Answer()
		writeJSON(w, r, httpStatus[*v.Status], answerOf(v))
	}
}

// execute runs an op under a strategy and returns the answered receipt. Its
// errors are those of the ledger: nothing was run.
func (l *Lab) execute(ctx context.Context, s strategies.Strategy, p params) (*receipt.Receipt, error) {
	call := slowops.Call{
		Delay: p.delay, Deaf: p.ctx == "deaf",
		DeafBackend: p.backend == "deaf", Work: p.work,
		Target: p.target, Limit: 2 * l.Longest(),
	}
	if s.Client != nil {
		call.IOTimeout = s.Client(p.timeout).IO
		p.phases.give(&call)
	}
	rc, err := l.Ledger.Open(receipt.Run{
		Name: s.Name, Family: string(s.Family), Unbounded: s.Unbounded, Slow: p.op.Name,
		Ctx: p.ctx, Work: p.work, Backend: p.backend, Target: p.target, Timeouts: p.phases.view(),
		Network: l.between(p),
		Delay:   p.delay, Timeout: p.timeout,
		Ops: len(p.op.Parts), Backends: p.op.Reports, Seen: p.op.Seen,
		Busy: p.op.Busy != nil && p.op.Busy(call),
	})
	if err != nil {
		return nil, err
	}
	call.Run = rc.ID()
	call.Observer = slowops.Observer{
		Dialed: rc.ConnDialed, Reused: rc.ConnReused, Kept: rc.ConnKept, Closed: rc.ConnClosed,
		Phase: rc.PhaseBegan, Outlived: rc.DialOutlived,
	}
	ctx, cancel := context.WithTimeoutCause(ctx, l.Longest(), errLongest)
	defer cancel()
	ops := l.prepared(ctx, rc, p.op, call)
	ctx = l.trace(ctx, rc)
	status, failure := outcome(ctx, s, p.timeout, l.safely(ctx, s, p, ops))
	rc.Answered(status, failure)
	l.answered(ctx, rc, status, failure)
	return rc, nil
}

// prepared returns the calls of an op, each of which the receipt watches. Where
// the op can't be prepared, they return that error.
func (l *Lab) prepared(ctx context.Context, rc *receipt.Receipt, op Op, call slowops.Call) []strategies.Op {
	var unprepared error
	if op.Prepare != nil {
		unprepared = op.Prepare(ctx, call)
		rc.Start()
	}
	ops := make([]strategies.Op, len(op.Parts))
	for i, part := range op.Parts {
		do := l.part(&op, part, call)
		if unprepared != nil {
			do = func(context.Context) error { return unprepared }
		}
		ops[i] = rc.Wrap(do)
	}
	return ops
}

// errLongest ends a run that takes longer than Longest, such as the baseline on
// a network that delivers nothing.
var errLongest = errors.New("longer than the lab allows")

// safely runs the strategy. A panic of an op on this goroutine becomes an
// error, so that no request is without an outcome.
func (l *Lab) safely(ctx context.Context, s strategies.Strategy, p params, ops []strategies.Op) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &strategies.PanicError{Value: v, Stack: debug.Stack()}
		}
		var panicked *strategies.PanicError
		if errors.As(err, &panicked) {
			l.Log.Error("an op panicked", "strategy", s.Name, "op", p.op.Name, "panic", panicked.Value, "stack", string(panicked.Stack))
		}
	}()
	return s.Do(ctx, p.timeout, ops...)
}
