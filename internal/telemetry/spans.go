package telemetry

import (
	"context"
	"sync"

	"gotimeout/internal/receipt"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// spans are those of a run: the strategy's, and one for each call of the op.
type spans struct {
	tracing *Tracing
	run     trace.Span
	op      string
	asked   []attribute.KeyValue // that tell runs apart

	mu       sync.Mutex
	answered bool
	ops      []*opSpan
}

// opSpan is the span of a call. When the answer comes first, it ends with that,
// and straggle goes on until the call returns.
type opSpan struct {
	trace.Span
	ended    bool
	straggle trace.Span
}

type spansKey struct{}

// Run begins the span of a run.
func (t *Tracing) Run(ctx context.Context, rc *receipt.Receipt) context.Context {
	run := rc.Run()
	s := &spans{tracing: t, op: run.Slow, asked: []attribute.KeyValue{
		attribute.String("gotimeout.receipt", rc.ID()),
		attribute.String("gotimeout.strategy", run.Name),
		attribute.String("gotimeout.op", run.Slow),
	}}
	ctx, s.run = t.tracer.Start(ctx, run.Name, trace.WithAttributes(s.asked...), trace.WithAttributes(
		attribute.String("gotimeout.family", run.Family),
		attribute.String("gotimeout.ctx", run.Ctx),
		attribute.Float64("gotimeout.delay_ms", 1000*run.Delay.Seconds()),
		attribute.Float64("gotimeout.timeout_ms", 1000*run.Timeout.Seconds()),
	))
	rc.OnComplete(s.complete)
	return context.WithValue(ctx, spansKey{}, s)
}

// Op begins the span of a call.
func (t *Tracing) Op(ctx context.Context, remote bool) (_ context.Context, traceparent string, end func(error)) {
	s := ctx.Value(spansKey{}).(*spans)
	kind := trace.SpanKindInternal
	if remote {
		kind = trace.SpanKindClient
	}
	op := new(opSpan)
	ctx, op.Span = t.tracer.Start(ctx, s.op, trace.WithSpanKind(kind), trace.WithAttributes(s.asked...))
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ops = append(s.ops, op)
	if s.answered { // before the op began
		s.leave(op)
	}
	carrier := propagation.MapCarrier{}
	t.context.Inject(ctx, carrier)
	return ctx, carrier["traceparent"], func(err error) { s.ended(op, err) }
}

// ended ends the span of a call, or what goes on of it.
func (s *spans) ended(op *opSpan, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	span := op.Span
	if op.straggle != nil {
		span = op.straggle
	}
	if err != nil {
		span.SetStatus(codes.Error, err.Error())
	}
	op.ended = true
	span.End()
}

// Answered ends the span of a run.
func (t *Tracing) Answered(ctx context.Context, status receipt.Status, err *receipt.Error) {
	s := ctx.Value(spansKey{}).(*spans)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answered = true
	for _, op := range s.ops {
		if !op.ended {
			s.leave(op)
		}
	}
	s.run.SetAttributes(attribute.String("gotimeout.status", string(status)))
	if err != nil {
		s.run.SetAttributes(attribute.String("error.type", err.Code))
		s.run.SetStatus(codes.Error, err.Message)
	}
	s.run.End()
}

// leave ends the span of a call that goes on, and begins the one of its
// straggle.
func (s *spans) leave(op *opSpan) {
	op.SetAttributes(attribute.String(left, "goroutine"))
	op.End()
	op.straggle = s.left("straggle", "goroutine", []*opSpan{op})
}

// complete adds the span of the waste, from the answer until the last backend
// stopped.
func (s *spans) complete(f receipt.Figures) {
	if !f.Waste.Known || f.Waste.Time == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	answered := f.Start.Add(f.Answered)
	span := s.left("waste", "backend", s.ops, trace.WithTimestamp(answered))
	span.End(trace.WithTimestamp(answered.Add(f.Waste.Time)))
}

// left is the attribute that says what goes on.
const left = "gotimeout.left"

// left begins the trace of what goes on after the answer, linked to the calls
// that it is of. It is sampled as they are.
func (s *spans) left(name, which string, of []*opSpan, options ...trace.SpanStartOption) trace.Span {
	var links []trace.Link
	for _, op := range of {
		if op.SpanContext().IsSampled() {
			links = append(links, trace.Link{SpanContext: op.SpanContext()})
		}
	}
	if len(links) == 0 {
		return trace.SpanFromContext(context.Background()) // one of nothing
	}
	_, span := s.tracing.after.Start(context.Background(), name, append(options,
		trace.WithLinks(links...), trace.WithAttributes(s.asked...), trace.WithAttributes(attribute.String(left, which)))...)
	return span
}
