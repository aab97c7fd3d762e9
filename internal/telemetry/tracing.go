package telemetry

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc"
)

// name is the service's, unless OTEL_SERVICE_NAME says another, and the scope's
// of its spans.
const name = "gotimeout"

// Tracing makes spans and sends them to a collector.
type Tracing struct {
	provider *sdk.TracerProvider
	tracer   trace.Tracer
	after    trace.Tracer // of what goes on after the answer; it samples all that it is given
	context  propagation.TraceContext
	serve    func(http.Handler) http.Handler
}

// Dial connects to a collector.
type Dial = func(ctx context.Context, network, addr string) (net.Conn, error)

// OpenTracing starts to trace for the collector, which need not be there: the
// log tells when it can't be reached, and when it can be again. Version is the
// lab's; dial is nil where the system's own will do. Close it after use.
func OpenTracing(ctx context.Context, to *Collector, version string, dial Dial, log *slog.Logger) (*Tracing, error) {
	exporter, err := open(ctx, to, dial)
	if err != nil {
		return nil, fmt.Errorf("traces (OTEL_EXPORTER_OTLP_...): %w", err)
	}
	about, err := resource.New(ctx,
		resource.WithAttributes(attribute.String("service.name", name), attribute.String("service.version", version)),
		resource.WithTelemetrySDK(), resource.WithFromEnv())
	if err != nil {
		return nil, fmt.Errorf("traces (OTEL_RESOURCE_ATTRIBUTES): %w", err)
	}
	return newTracing(&told{SpanExporter: exporter, log: log, to: to.Addr}, about), nil
}

func newTracing(exporter sdk.SpanExporter, about *resource.Resource) *Tracing {
	batches, of := sdk.WithSpanProcessor(sdk.NewBatchSpanProcessor(exporter)), sdk.WithResource(about)
	t := &Tracing{provider: sdk.NewTracerProvider(batches, of)}
	t.tracer = t.provider.Tracer(name)
	t.after = sdk.NewTracerProvider(batches, of, sdk.WithSampler(sdk.AlwaysSample())).Tracer(name)
	t.serve = otelhttp.NewMiddleware(name, otelhttp.WithTracerProvider(t.provider),
		otelhttp.WithPropagators(t.context), otelhttp.WithMeterProvider(noop.NewMeterProvider()))
	return t
}

// open makes the exporter, which reads the rest of the variables. One that
// dials in a way of its own does without those of its client: the timeout and
// the certificates.
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

// Handler serves in a span, within that of the client where the request has a
// traceparent.
func (t *Tracing) Handler(next http.Handler) http.Handler { return t.serve(next) }

// closing bounds the last export: a collector that is down must not keep the
// lab from its end.
const closing = 2 * time.Second

// Close sends what it has, and ends. Spans that have not ended are lost. That of
// nil does nothing.
func (t *Tracing) Close() {
	if t == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), closing)
	defer cancel()
	_ = t.provider.Shutdown(ctx) // what it failed to send has been told
}

// told is an exporter that tells when it begins to fail and when it works again,
// which OpenTelemetry would tell a logger of its own, each time.
type told struct {
	sdk.SpanExporter
	log    *slog.Logger
	to     string
	failed bool // its batches come one after another
}

func (t *told) ExportSpans(ctx context.Context, spans []sdk.ReadOnlySpan) error {
	err := t.SpanExporter.ExportSpans(ctx, spans)
	switch failed := err != nil; {
	case failed && !t.failed:
		t.log.Warn("traces are lost: the collector doesn't take them", "addr", t.to, "error", err)
	case !failed && t.failed:
		t.log.Info("the collector takes traces again", "addr", t.to)
	}
	t.failed = err != nil
	return nil
}
