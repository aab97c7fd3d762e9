package handlers

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"gotimeout/internal/receipt"
	"gotimeout/internal/stacks"
	"gotimeout/internal/wire"
	"gotimeout/slowops"
	"gotimeout/strategies"
)

// run serves a strategy.
func (l *Lab) run(s strategies.Strategy) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		p, err := l.parse(s, r.URL.RawQuery)
		if err != nil {
			badParameter(w, r, err)
			return
		}
		rc, err := l.execute(r.Context(), s, p)
		if err != nil {
			unavailable(w, r, refusal(err))
			return
		}
		answer := rc.Answer()
		switch answer.Status {
		case receipt.Accepted:
			w.Header().Set("Location", "/jobs/"+answer.ID)
		case receipt.Refused:
			w.Header().Set("Retry-After", "1")
		}
		writeAnswer(w, r, answer)
		if err := http.NewResponseController(w).Flush(); err != nil && !errors.Is(err, errors.ErrUnsupported) {
			rc.NotWritten(&receipt.Error{Code: "answer_lost", Message: "the answer could not be written: " + err.Error()})
		}
	}
}

// execute runs an op under a strategy and returns the answered receipt. An error is the
// ledger's refusal: no run was started.
func (l *Lab) execute(ctx context.Context, s strategies.Strategy, p params) (*receipt.Receipt, error) {
	call := l.callOf(p)
	p.bound(&call, s)
	outside := l.Outside[s.Outside]
	if !l.mayCall(p.op) {
		return nil, errOwn
	}
	if s.Outside == strategies.InQueue && l.Queue != nil {
		return l.offload(ctx, s, p)
	}
	network := l.state()
	run := l.runOf(ctx, s, p)
	run.Busy = outside != nil || p.op.Busy != nil && p.op.Busy(call) // the start of a process computes
	run.Descriptors = filesOf(p.op, outside)
	rc, err := l.Ledger.Open(run)
	if err != nil {
		l.logRefusal(ctx, refusal(err))
		return nil, err
	}
	call.Run = rc.ID()
	call.Observer = slowops.Observer{
		Dialed: rc.ConnDialed, Reused: rc.ConnReused, Kept: rc.ConnKept, Closed: rc.ConnClosed,
		Phase: rc.PhaseBegan, Outlived: rc.DialOutlived,
	}
	ctx, cancel := l.bounded(ctx, s)
	defer cancel()
	ops := l.calls(ctx, rc, outside, p, call)
	ctx = l.trace(ctx, rc)
	status, failure := outcome(ctx, s, p.timeout, l.doRecovered(ctx, s, p, ops))
	if now := l.state(); now != network {
		if path := l.networkOf(p); path != nil && path.Ended != "" {
			rc.NetworkEnded(path)
		}
	}
	rc.Answered(status, failure)
	l.logAnswer(ctx, rc, status, failure)
	return rc, nil
}

// runOf returns the description of a run for its receipt.
func (l *Lab) runOf(ctx context.Context, s strategies.Strategy, p params) receipt.Run {
	return receipt.Run{
		Client: l.clientOf(ctx), Job: p.job,
		Name: s.Name, Family: string(s.Family), Unbounded: s.Unbounded, Slow: p.op.Name,
		Ctx: p.ctx, Work: p.work, Backend: p.backend, Target: p.target, Params: p.own, Timeouts: p.phases.view(),
		Network: l.networkOf(p),
		Delay:   p.delay, Timeout: p.timeout,
		Ops: int32(len(p.op.Parts)), Backends: int32(p.op.Reports), Seen: p.op.Seen,
	}
}

// callOf returns the call that the parameters of a run describe.
func (l *Lab) callOf(p params) slowops.Call {
	return slowops.Call{
		Delay: p.delay, Deaf: p.ctx == "deaf",
		DeafBackend: p.backend == "deaf", Work: p.work,
		Target: p.target, Params: p.own, Limit: l.longest(p),
	}
}

// longest bounds a call. In a public lab a call to a faulty target ends right after its timeout: it would
// hold its place for as long as the lab allows, and the fault shows before.
func (l *Lab) longest(p params) time.Duration {
	longest := l.Bounds().Call
	faulty := slices.ContainsFunc(p.op.Targets, func(t Target) bool { return t.Name == p.target && !t.Sound })
	if l.Public && faulty {
		longest = min(longest, p.timeout+time.Second)
	}
	return longest
}

// calls returns the calls of an op, wrapped by the receipt. If the op can't be
// prepared, or its run can't be begun outside, each call returns that error.
func (l *Lab) calls(ctx context.Context, rc *receipt.Receipt, outside Outside, p params, call slowops.Call) []strategies.Op {
	parts := p.op.Parts
	var err error
	if p.op.Prepare != nil {
		err = p.op.Prepare(ctx, call)
		rc.Start()
	}
	if err == nil && outside != nil {
		parts, err = l.begin(outside, p, call)
	}
	ops := make([]strategies.Op, len(p.op.Parts))
	for i := range ops {
		if err != nil {
			ops[i] = rc.Wrap(failing(err))
		} else {
			ops[i] = rc.Wrap(l.call(rc, p.op, parts[i], call))
		}
	}
	return ops
}

func failing(err error) strategies.Op { return func(context.Context) error { return err } }

// errLongest ends a run that takes longer than Bounds.Run.
var errLongest = errors.New("longer than the lab allows")

// bounded returns the context of a run. Under a strategy that lets its ops have that
// context, and no other with its timeout, the context ends at Bounds.Run.
func (l *Lab) bounded(ctx context.Context, s strategies.Strategy) (context.Context, context.CancelFunc) {
	if !s.Unbounded && s.Client == nil {
		return ctx, func() {}
	}
	return context.WithTimeoutCause(ctx, l.Bounds().Run, errLongest)
}

// doRecovered runs the strategy. A panic of an op on this goroutine becomes an error,
// so that every request has an outcome.
func (l *Lab) doRecovered(ctx context.Context, s strategies.Strategy, p params, ops []strategies.Op) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &strategies.PanicError{Value: v, Stack: debug.Stack()}
		}
		if err == nil {
			return
		}
		var panicked *strategies.PanicError
		if errors.As(err, &panicked) {
			l.Log.Error("an op panicked", "strategy", s.Name, "op", p.op.Name, "panic", panicked.Value, "stack", string(panicked.Stack))
		}
	}()
	return s.Do(ctx, p.timeout, ops...)
}

// httpStatus is the one place that maps an outcome to HTTP.
var httpStatus = map[receipt.Status]int{
	receipt.Completed: http.StatusOK,
	receipt.Accepted:  http.StatusAccepted,
	receipt.TimedOut:  http.StatusGatewayTimeout,
	receipt.Failed:    http.StatusBadGateway,
	receipt.Refused:   http.StatusServiceUnavailable,
}

// coded is an error with a code: the error of a call whose client had timeouts of its own,
// or of a call that got a wrong answer.
type coded interface {
	error
	Code() string
	Timeout() bool
}

// outcome returns the status of a run by the error of its strategy.
func outcome(ctx context.Context, s strategies.Strategy, timeout time.Duration, err error) (receipt.Status, *receipt.Error) {
	if err == nil {
		return receipt.Completed, nil
	}
	if at, bounded := ctx.Deadline(); bounded && !time.Now().Before(at) {
		<-ctx.Done() // a socket's deadline may pass a moment before the context's
	}
	var panicked *strategies.PanicError
	var kind coded
	known := errors.As(err, &kind) && (s.Client != nil || kind.Code() == wrongAnswer)
	switch {
	case known && kind.Timeout() && errors.Is(err, strategies.ErrTimeout):
		return receipt.TimedOut, &receipt.Error{Code: kind.Code(), Message: timedOut(timeout, err, kind)}
	case errors.Is(err, strategies.ErrTimeout):
		return receipt.TimedOut, &receipt.Error{Code: "timed_out", Message: timedOut(timeout, err, nil)}
	case errors.Is(err, slowops.ErrLimit), context.Cause(ctx) == errLongest:
		return receipt.Failed, &receipt.Error{Code: "over_caps", Message: "the lab ended the run, which took longer than the caps on delay and timeout allow for: the backend or the network may be too slow"}
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

// Codes of a coded error that outcome treats apart.
const (
	totalTimeout = "total_timeout" // the timeout of the run itself
	wrongAnswer  = "wrong_answer"  // the answer to another call, from a poisoned connection of a pool
)

// timedOut returns the sentence of a timeout, with the error of the op. A phase timeout
// has a sentence of its own.
func timedOut(timeout time.Duration, err error, kind coded) string {
	of := strings.TrimPrefix(err.Error(), strategies.ErrTimeout.Error())
	if kind != nil && kind.Code() != totalTimeout {
		return strings.TrimPrefix(of, ": ")
	}
	return "no answer within " + timeout.String() + of
}

// refusals has a code and a sentence for each error of the ledger.
var refusals = []struct {
	err            error
	code, sentence string
}{
	{receipt.ErrInFlight, "too_many_in_flight", "too many runs are in flight in this lab (--max-in-flight): try again in a second"},
	{receipt.ErrAbandoned, "too_many_abandoned", "earlier runs have left too much work behind (--max-abandoned): try again when it has ended"},
	{receipt.ErrBusy, "too_many_busy", "too many runs compute on this lab's processors: try again in a second"},
	{receipt.ErrDescriptors, "too_many_descriptors", "the runs of this lab have all file descriptors that its limit allows them (ulimit -n, LimitNOFILE=): try again in a second"},
	{receipt.ErrShare, "over_share", "this lab is public, and a quarter of it is busy with your runs, which is the share of one client: wait until some have ended"},
	{errOwn, "too_many_own", fmt.Sprintf("this lab is public, and makes own calls at most %d times a second for all visitors: try again in a second", OwnASecond)},
}

// unavailable answers 503 for a run that the ledger refused, and 429 where the client itself is the reason.
func unavailable(w http.ResponseWriter, r *http.Request, why *receipt.Error) {
	status := http.StatusServiceUnavailable
	if why.Code == "over_share" {
		status = http.StatusTooManyRequests
	}
	w.Header().Set("Retry-After", "1")
	writeJSON(w, r, status, wire.Answer{Status: receipt.Refused, Error: why})
}

func refusal(err error) *receipt.Error {
	for _, r := range refusals {
		if errors.Is(err, r.err) {
			return &receipt.Error{Code: r.code, Message: r.sentence}
		}
	}
	return &receipt.Error{Code: "refused", Message: err.Error()}
}

// Trace makes a span for each request, run and call. The context that a method
// returns belongs to the code inside the span.
type Trace interface {
	// Handler wraps a handler in the span of a request.
	Handler(http.Handler) http.Handler
	// Run begins the span of a run and Answered ends it. Work that goes on after the
	// answer has spans of its own.
	Run(context.Context, *receipt.Receipt) context.Context
	Answered(context.Context, receipt.Status, *receipt.Error)
	// Op begins the span of a call; end ends it with the call's error. The caller
	// passes traceparent to the backend. remote says that the call has a backend.
	Op(_ context.Context, remote bool) (_ context.Context, traceparent string, end func(error))
}

// traced returns the middleware of the endpoints that run something.
func (l *Lab) traced() (within []func(http.Handler) http.Handler) {
	if l.Trace != nil {
		within = append(within, l.Trace.Handler)
	}
	return within
}

// trace begins the span of a run.
func (l *Lab) trace(ctx context.Context, rc *receipt.Receipt) context.Context {
	if l.Trace == nil {
		return ctx
	}
	return l.Trace.Run(ctx, rc)
}

// call returns one call of an op, whose goroutine has the labels of its run, in a span if runs are traced.
func (l *Lab) call(rc *receipt.Receipt, op *Op, part Part, call slowops.Call) strategies.Op {
	if l.Trace != nil {
		part = inSpan(l.Trace, op.Dials, part)
	}
	return func(ctx context.Context) error {
		return stacks.Do(ctx, rc.Run().Name, op.Name, rc.ID(), func(ctx context.Context) error { return part(ctx, call) })
	}
}

// errPanicked is the error of a span whose call panicked.
var errPanicked = errors.New("the op panicked")

// inSpan returns a part in a span of its own. It is a function of its own so that a
// lab without traces allocates nothing for it.
func inSpan(trace Trace, remote bool, part Part) Part {
	return func(ctx context.Context, call slowops.Call) error {
		ctx, traceparent, end := trace.Op(ctx, remote)
		err := errPanicked
		defer func() { end(err) }()
		call.Traceparent = traceparent
		err = part(ctx, call)
		return err
	}
}

// logAnswer ends the span of a run and logs a run that was answered too late.
func (l *Lab) logAnswer(ctx context.Context, rc *receipt.Receipt, status receipt.Status, failure *receipt.Error) {
	if l.Trace != nil {
		l.Trace.Answered(ctx, status, failure)
	}
	if late := rc.Overshoot(); l.LogSlow > 0 && late.Known && late.Time > l.LogSlow {
		run := rc.Run()
		l.Log.Warn("slow", "strategy", run.Name, "op", run.Slow, "answered", (run.Timeout + late.Time).Round(time.Microsecond),
			"timeout", run.Timeout, "status", status, "receipt", rc.ID())
	}
}
