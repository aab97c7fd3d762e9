package telemetry

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc"

	"gotimeout/internal/receipt"
)

// serviceName is the name of the scope of the spans, and of the service unless OTEL_SERVICE_NAME sets another.
const serviceName = "gotimeout"

// Tracing makes spans and sends them to a collector.
type Tracing struct {
	provider *sdk.TracerProvider
	tracer   trace.Tracer
	after    trace.Tracer // for work after the answer; it samples every span
	context  propagation.TraceContext
}

// Dial connects to a collector.
type Dial = func(ctx context.Context, network, addr string) (net.Conn, error)

// OpenTracing starts to send traces to the collector, which need not run yet: the log says when the collector cannot be reached,
// and when it can be reached again. version is the lab's; a nil dial is the system's own. Close the tracing after use.
func OpenTracing(ctx context.Context, to *Collector, version string, dial Dial, log *slog.Logger) (*Tracing, error) {
	exporter, err := open(ctx, to, dial)
	if err != nil {
		return nil, fmt.Errorf("traces (OTEL_EXPORTER_OTLP_...): %w", err)
	}
	about, err := resource.New(ctx,
		resource.WithAttributes(attribute.String("service.name", serviceName), attribute.String("service.version", version)),
		resource.WithTelemetrySDK(), resource.WithFromEnv())
	if err != nil {
		return nil, fmt.Errorf("traces (OTEL_RESOURCE_ATTRIBUTES): %w", err)
	}
	return newTracing(&loggedExporter{SpanExporter: exporter, log: log, to: to.Addr}, about), nil
}

func newTracing(exporter sdk.SpanExporter, about *resource.Resource) *Tracing {
	batches, of := sdk.WithSpanProcessor(sdk.NewBatchSpanProcessor(exporter)), sdk.WithResource(about)
	t := &Tracing{provider: sdk.NewTracerProvider(batches, of)}
	t.tracer = t.provider.Tracer(serviceName)
	t.after = sdk.NewTracerProvider(batches, of, sdk.WithSampler(sdk.AlwaysSample())).Tracer(serviceName)
	return t
}

// open makes the exporter, which reads the other OTEL_ variables itself. With a dial of our own, HTTP's exporter does not read the
// variables of its client: the timeout and the certificates.
func open(ctx context.Context, to *Collector, dial Dial) (sdk.SpanExporter, error) {
	if to.grpc {
		var options []otlptracegrpc.Option
		if dial != nil {
			options = append(options, otlptracegrpc.WithDialOption(grpc.WithContextDialer(
				func(ctx context.Context, addr string) (net.Conn, error) { return dial(ctx, "tcp", addr) })))
		}
		return otlptracegrpc.New(ctx, options...)
	}
	var options []otlptracehttp.Option
	if dial != nil {
		options = append(options, otlptracehttp.WithHTTPClient(&http.Client{
			Transport: &http.Transport{DialContext: dial}, Timeout: 10 * time.Second,
		}))
	}
	return otlptracehttp.New(ctx, options...)
}

// Handler serves each request in a span. If the request has a traceparent, the span is a child of the client's span. A request
// that is not sampled costs only that decision, while package otelhttp would still read its attributes and wrap its answer.
func (t *Tracing) Handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx := t.context.Extract(r.Context(), propagation.HeaderCarrier(r.Header))
		ctx, span := t.tracer.Start(ctx, r.Method+" "+r.URL.Path, trace.WithSpanKind(trace.SpanKindServer))
		defer span.End()
		r = r.WithContext(ctx)
		if !span.IsRecording() {
			next.ServeHTTP(w, r)
			return
		}
		peer, _, _ := net.SplitHostPort(r.RemoteAddr)
		span.SetAttributes(
			attribute.String("http.request.method", r.Method),
			attribute.String("http.route", r.URL.Path), // the paths of strategies, /compare and /race have no variable part
			attribute.String("url.scheme", "http"),
			attribute.String("url.path", r.URL.Path),
			attribute.String("url.query", r.URL.RawQuery),
			attribute.String("network.peer.address", peer),
			attribute.String("network.protocol.version", strings.TrimPrefix(r.Proto, "HTTP/")),
			attribute.String("user_agent.original", r.UserAgent()),
		)
		answer := &statusWriter{w, http.StatusOK}
		next.ServeHTTP(answer, r)
		span.SetAttributes(attribute.Int("http.response.status_code", answer.status))
		if answer.status >= http.StatusInternalServerError {
			span.SetStatus(codes.Error, "")
		}
	})
}

// statusWriter remembers the status of an answer.
type statusWriter struct {
	http.ResponseWriter
	status int
}

func (w *statusWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

// Unwrap is for http.ResponseController, which the handlers flush with.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// closeTimeout bounds the last export, so that a collector that is down doesn't delay the end of the lab.
const closeTimeout = 2 * time.Second

// Close sends the spans that have ended, and stops. Spans that have not ended are lost. Close of a nil Tracing does nothing.
func (t *Tracing) Close() {
	if t == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	_ = t.provider.Shutdown(ctx) // loggedExporter has logged a failure
}

// loggedExporter logs when its exporter begins to fail and when it works again. OpenTelemetry would log each failure, to a logger of
// its own.
type loggedExporter struct {
	sdk.SpanExporter
	log    *slog.Logger
	to     string
	failed bool // whether the last batch failed; batches come one after another
}

func (t *loggedExporter) ExportSpans(ctx context.Context, spans []sdk.ReadOnlySpan) error {
	err := t.SpanExporter.ExportSpans(ctx, spans)
	switch failed := err != nil; {
	case failed && !t.failed:
		t.log.Warn("traces are lost: the collector does not accept them", "addr", t.to, "error", err)
	case !failed && t.failed:
		t.log.Info("the collector accepts traces again", "addr", t.to)
	}
	t.failed = err != nil
	return nil
}

// Collector is the receiver of traces that the standard variables name.
type Collector struct {
	Addr string // host:port
	grpc bool
}

// ReadCollector reads the variables that turn traces on and name their collector; OpenTelemetry's SDK reads the others. It returns
// nil where traces are off.
func ReadCollector(getenv func(string) string) (*Collector, error) {
	name, endpoint := first(getenv, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
	exporter := getenv("OTEL_TRACES_EXPORTER")
	switch {
	case strings.EqualFold(getenv("OTEL_SDK_DISABLED"), "true"), exporter == "none":
		return nil, nil
	case exporter == "" && endpoint == "":
		return nil, nil
	case exporter != "" && exporter != "otlp":
		return nil, fmt.Errorf("OTEL_TRACES_EXPORTER is %q: use otlp or none", exporter)
	}
	protocol, wire := first(getenv, "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
	c := &Collector{grpc: wire == "grpc"}
	switch wire {
	case "", "http/protobuf", "http/json":
		endpoint = cmp.Or(endpoint, "http://localhost:4318")
	case "grpc":
		endpoint = cmp.Or(endpoint, "http://localhost:4317")
	default:
		return nil, fmt.Errorf("%s is %q: use http/protobuf, http/json or grpc", protocol, wire)
	}
	u, err := url.Parse(endpoint)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" {
		return nil, fmt.Errorf("%s is not a URL of a collector: write http://host:port", name) // the value is not quoted, because it may have a password
	}
	c.Addr = net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), map[string]string{"http": "80", "https": "443"}[u.Scheme]))
	return c, nil
}

// first returns the first variable that is set.
func first(getenv func(string) string, names ...string) (name, value string) {
	for _, name := range names {
		if value := getenv(name); value != "" {
			return name, value
		}
	}
	return "", ""
}

// spans are the spans of a run: one of the strategy, and one of each call of the op.
type spans struct {
	tracing *Tracing
	run     trace.Span
	op      string
	labels  []attribute.KeyValue // the parameters of the run, and its receipt

	mu       sync.Mutex
	answered bool
	ops      []*opSpan
}

// opSpan is the span of a call. Where the answer comes before the call returns, the span ends with the answer, and straggle lasts
// until the call returns.
type opSpan struct {
	trace.Span
	ended    bool
	straggle trace.Span
}

type spansKey struct{}

// Run begins the span of a run, which ctx carries. A run in a request that is not sampled has none.
func (t *Tracing) Run(ctx context.Context, rc *receipt.Receipt) context.Context {
	if request := trace.SpanContextFromContext(ctx); request.IsValid() && !request.IsSampled() {
		return ctx
	}
	run := rc.Run()
	s := &spans{tracing: t, op: run.Slow, labels: []attribute.KeyValue{
		attribute.String("gotimeout.receipt", rc.ID()),
		attribute.String("gotimeout.strategy", run.Name),
		attribute.String("gotimeout.op", run.Slow),
	}}
	ctx, s.run = t.tracer.Start(ctx, run.Name, trace.WithAttributes(s.labels...), trace.WithAttributes(
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
	s, ok := ctx.Value(spansKey{}).(*spans)
	if !ok {
		return ctx, traceparentOf(ctx), func(error) {}
	}
	kind := trace.SpanKindInternal
	if remote {
		kind = trace.SpanKindClient
	}
	op := new(opSpan)
	ctx, op.Span = t.tracer.Start(ctx, s.op, trace.WithSpanKind(kind), trace.WithAttributes(s.labels...))
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ops = append(s.ops, op)
	if s.answered { // the answer came before the call began
		s.leave(op)
	}
	return ctx, traceparentOf(ctx), func(err error) { s.ended(op, err) }
}

// traceparentOf writes the span of ctx as W3C's Trace Context has it.
func traceparentOf(ctx context.Context) string {
	span := trace.SpanContextFromContext(ctx)
	if !span.IsValid() {
		return ""
	}
	return "00-" + span.TraceID().String() + "-" + span.SpanID().String() + "-" + span.TraceFlags().String()
}

// ended ends the span of a call, or of its straggle.
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
	s, ok := ctx.Value(spansKey{}).(*spans)
	if !ok {
		return
	}
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

// leave ends the span of a call that runs on after the answer, and begins the span of its straggle.
func (s *spans) leave(op *opSpan) {
	op.SetAttributes(attribute.String(leftAttribute, "goroutine"))
	op.End()
	op.straggle = s.after("straggle", "goroutine", []*opSpan{op})
}

// complete adds the span of the waste: from the answer until the last backend stopped.
func (s *spans) complete(f receipt.Figures) {
	if !f.Waste.Known || f.Waste.Time == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	answered := f.Start.Add(f.Answered)
	span := s.after("waste", "backend", s.ops, trace.WithTimestamp(answered))
	span.End(trace.WithTimestamp(answered.Add(f.Waste.Time)))
}

// leftAttribute is the attribute for what works on after the answer: a goroutine or a backend.
const leftAttribute = "gotimeout.left"

// after begins a trace of work after the answer, linked to the calls that it belongs to. It is sampled if one of them is.
func (s *spans) after(name, which string, of []*opSpan, options ...trace.SpanStartOption) trace.Span {
	var links []trace.Link
	for _, op := range of {
		if op.SpanContext().IsSampled() {
			links = append(links, trace.Link{SpanContext: op.SpanContext()})
		}
	}
	if len(links) == 0 {
		return trace.SpanFromContext(context.Background()) // a span that records nothing
	}
	_, span := s.tracing.after.Start(context.Background(), name, append(options,
		trace.WithLinks(links...), trace.WithAttributes(s.labels...), trace.WithAttributes(attribute.String(leftAttribute, which)))...)
	return span
}
