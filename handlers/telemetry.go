package handlers

import (
	"context"
	"errors"
	"net/http"
	"time"

	"gotimeout/internal/receipt"
	"gotimeout/slowops"
	"gotimeout/strategies"
)

// Trace makes spans of what is run. The context that a method returns is for
// those called within.
type Trace interface {
	// Handler serves in the span of a request.
	Handler(http.Handler) http.Handler
	// Run begins the span of a run that was opened, and Answered ends it. What
	// goes on then is in spans of its own.
	Run(context.Context, *receipt.Receipt) context.Context
	Answered(context.Context, receipt.Status, *receipt.Error)
	// Op begins the span of one call of the run, which ends with the error of
	// the call. The backend is given traceparent. Remote tells that there is one.
	Op(_ context.Context, remote bool) (_ context.Context, traceparent string, end func(error))
}

// traced is what the endpoints that run something are served within.
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

// part makes a call of an op.
func (l *Lab) part(op *Op, part Part, call slowops.Call) strategies.Op {
	if l.Trace == nil {
		return func(ctx context.Context) error { return part(ctx, call) }
	}
	return inSpan(l.Trace, op.Dials, part, call)
}

// errPanicked is the error of a call in its span that did not return.
var errPanicked = errors.New("the op panicked")

// inSpan makes a call that is in a span of its own. It stands apart so that
// nothing of it is allocated where no run is traced.
func inSpan(trace Trace, remote bool, part Part, call slowops.Call) strategies.Op {
	return func(ctx context.Context) error {
		ctx, traceparent, end := trace.Op(ctx, remote)
		err := errPanicked
		defer func() { end(err) }()
		call.Traceparent = traceparent
		err = part(ctx, call)
		return err
	}
}

// answered tells of a run that has its answer.
func (l *Lab) answered(ctx context.Context, rc *receipt.Receipt, status receipt.Status, failure *receipt.Error) {
	if l.Trace != nil {
		l.Trace.Answered(ctx, status, failure)
	}
	if late := rc.Overshoot(); l.LogSlow > 0 && late.Known && late.Time > l.LogSlow {
		run := rc.Run()
		l.Log.Warn("slow", "strategy", run.Name, "op", run.Slow, "answered", (run.Timeout + late.Time).Round(time.Microsecond),
			"timeout", run.Timeout, "status", status, "receipt", rc.ID())
	}
}
