package handlers

import (
	"context"

	"gotimeout/slowops"
	"gotimeout/strategies"
)

// Outside begins a run outside this process: the calls of an op as the query describes
// them. The run's clock goes and its timeout bounds only the Part, so an Outside waits for
// nothing; its error is the run's error. The Part that it returns has the calls made, and
// returns when they are over. When its context is done it ends them, also those of deaf
// ops. It is called once for each part of the op, and also if the context is done already.
type Outside func(query string, call slowops.Call) (Part, error)

// PhaseStart is the phase of a run in which the process starts that makes its calls.
const PhaseStart = "start"

// Inside prepares a run that was begun by an Outside elsewhere, and returns its calls as one,
// with no bound but the lab's own. The Part's call has the tag, the trace and the observer.
func (l *Lab) Inside(ctx context.Context, query string) (Part, error) {
	p, err := l.parse(strategies.Strategy{}, query)
	if err != nil {
		return nil, err
	}
	own := l.callOf(p)
	if p.op.Prepare != nil {
		if err := p.op.Prepare(ctx, own); err != nil {
			return nil, err
		}
	}
	return func(ctx context.Context, call slowops.Call) error {
		own := own
		own.Run, own.Traceparent, own.Observer = call.Run, call.Traceparent, call.Observer
		ops := make([]strategies.Op, len(p.op.Parts))
		for i, part := range p.op.Parts {
			ops[i] = func(ctx context.Context) error { return part(ctx, own) }
		}
		return strategies.Baseline{}.Do(ctx, 0, ops...)
	}, nil
}

// begin begins a run outside this process, for each of the op's parts.
func (l *Lab) begin(outside Outside, p params, call slowops.Call) (parts []Part, err error) {
	do, err := outside(p.query(), call)
	if err != nil {
		return nil, err
	}
	parts = make([]Part, len(p.op.Parts))
	for i := range parts {
		parts[i] = do
	}
	if p.op.Watch != nil {
		parts[0] = p.op.Watch(do)
	}
	return parts, nil
}
