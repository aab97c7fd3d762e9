package telemetry_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/grpc"

	"gotimeout/internal/receipt"
	"gotimeout/internal/telemetry"
)

// buffer is a log that may be written and read concurrently.
type buffer struct {
	mu sync.Mutex
	bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.Write(p)
}

func (b *buffer) count(text string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return strings.Count(b.String(), text)
}

// open opens the tracing that the environment variables ask for, and returns it with its log.
func open(t *testing.T, dial telemetry.Dial, env map[string]string) (*telemetry.Tracing, *buffer) {
	t.Helper()
	for k, v := range env {
		t.Setenv(k, v)
	}
	to, err := telemetry.ReadCollector(func(name string) string { return env[name] })
	if err != nil {
		t.Fatal(err)
	}
	log := new(buffer)
	tracing, err := telemetry.OpenTracing(t.Context(), to, "v1", dial, slog.New(slog.NewTextHandler(log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(tracing.Close)
	return tracing, log
}

// trace records the two spans of a run.
func trace(t *testing.T, tracing *telemetry.Tracing) {
	t.Helper()
	l := receipt.NewLedger("lab", 1, receipt.Limits{InFlight: 1, Abandoned: 1, Busy: 1})
	rc, err := l.Open(receipt.Run{Name: "errgroup", Slow: "db", Ops: 1})
	if err != nil {
		t.Fatal(err)
	}
	ctx := tracing.Run(t.Context(), rc)
	ctx, _, end := tracing.Op(ctx, true)
	_ = rc.Wrap(nop)(ctx)
	end(errors.New("the op failed"))
	rc.Answered(receipt.Failed, nil)
	tracing.Answered(ctx, receipt.Failed, &receipt.Error{Code: "op_failed", Message: "the op failed"})
}

// grpcCollector counts the spans that it receives.
type grpcCollector struct {
	collector.UnimplementedTraceServiceServer
	spans atomic.Int32
}

func (c *grpcCollector) Export(_ context.Context, r *collector.ExportTraceServiceRequest) (*collector.ExportTraceServiceResponse, error) {
	for _, of := range r.ResourceSpans {
		for _, scope := range of.ScopeSpans {
			c.spans.Add(int32(len(scope.Spans)))
		}
	}
	return &collector.ExportTraceServiceResponse{}, nil
}

// Close sends the spans that wait, over gRPC too, and uses the given dial function.
func TestCollectorOverGRPC(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c, server := new(grpcCollector), grpc.NewServer()
	collector.RegisterTraceServiceServer(server, c)
	go func() { _ = server.Serve(l) }()
	defer server.Stop()
	var dialed atomic.Value
	tracing, _ := open(t, func(ctx context.Context, network, addr string) (net.Conn, error) {
		dialed.Store(network + " " + addr)
		return new(net.Dialer).DialContext(ctx, network, l.Addr().String())
	}, map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4317", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"})
	trace(t, tracing)
	tracing.Close()
	if n := c.spans.Load(); n != 2 || dialed.Load() != "tcp 127.0.0.1:4317" {
		t.Errorf("%d spans, want 2; dialed %v", n, dialed.Load())
	}
}

// The failure of a collector is logged once, and so is its recovery.
func TestCollectorFailsAndRecovers(t *testing.T) {
	var broken atomic.Bool
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if broken.Load() {
			http.Error(w, "no", http.StatusForbidden)
		}
	}))
	defer server.Close()
	defer http.DefaultClient.CloseIdleConnections()
	tracing, log := open(t, nil, map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": server.URL, "OTEL_BSP_SCHEDULE_DELAY": "1"})
	const lost, again = "traces are lost", "accepts traces again"
	trace(t, tracing)
	for _, fails := range []bool{true, false} {
		broken.Store(fails)
		line := map[bool]string{true: lost, false: again}[fails]
		for end := time.Now().Add(20 * time.Second); log.count(line) == 0; {
			if trace(t, tracing); time.Now().After(end) {
				t.Fatalf("no line %q in the log", line)
			}
		}
	}
	if log.count(lost) != 1 || log.count(again) != 1 {
		t.Errorf("the log is\n%s", log)
	}
}

func TestOpenTracingRefuses(t *testing.T) {
	t.Setenv("OTEL_RESOURCE_ATTRIBUTES", "nonsense")
	to, err := telemetry.ReadCollector(func(string) string { return "http://h:1" })
	if err == nil {
		t.Fatalf("an invalid collector: %v", to)
	}
	to, err = telemetry.ReadCollector(func(name string) string {
		return map[string]string{"OTEL_TRACES_EXPORTER": "otlp"}[name]
	})
	if err != nil {
		t.Fatal(err)
	}
	_, err = telemetry.OpenTracing(t.Context(), to, "v1", nil, slog.New(slog.DiscardHandler))
	if err == nil || !strings.HasPrefix(err.Error(), "traces (OTEL_RESOURCE_ATTRIBUTES): ") {
		t.Errorf("%v", err)
	}
}

func TestReadCollector(t *testing.T) {
	const endpoint, traces, exporter, protocol = "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_TRACES_EXPORTER", "OTEL_EXPORTER_OTLP_PROTOCOL"
	for name, test := range map[string]struct {
		env        map[string]string
		addr, says string
	}{
		"nothing":                {nil, "", ""},
		"another signal's":       {map[string]string{"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://h:1"}, "", ""},
		"the endpoint":           {map[string]string{endpoint: "http://h:1"}, "h:1", ""},
		"that of traces first":   {map[string]string{endpoint: "http://h:1", traces: "http://i:2/v1/traces"}, "i:2", ""},
		"no port":                {map[string]string{endpoint: "http://h"}, "h:80", ""},
		"no port, with TLS":      {map[string]string{endpoint: "https://h/"}, "h:443", ""},
		"an IPv6 address":        {map[string]string{endpoint: "http://[::1]:4318"}, "[::1]:4318", ""},
		"the exporter":           {map[string]string{exporter: "otlp"}, "localhost:4318", ""},
		"the exporter, by gRPC":  {map[string]string{exporter: "otlp", protocol: "grpc"}, "localhost:4317", ""},
		"as JSON":                {map[string]string{exporter: "otlp", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/json", protocol: "x"}, "localhost:4318", ""},
		"the protocol alone":     {map[string]string{protocol: "grpc"}, "", ""},
		"disabled":               {map[string]string{endpoint: "http://h:1", "OTEL_SDK_DISABLED": "TRUE"}, "", ""},
		"not disabled":           {map[string]string{endpoint: "http://h:1", "OTEL_SDK_DISABLED": "false"}, "h:1", ""},
		"disabled, and nonsense": {map[string]string{exporter: "x", "OTEL_SDK_DISABLED": "true"}, "", ""},
		"no exporter":            {map[string]string{endpoint: "http://h:1", exporter: "none"}, "", ""},
		"an unknown exporter":    {map[string]string{exporter: "zipkin"}, "", `OTEL_TRACES_EXPORTER is "zipkin": use otlp or none`},
		"an unknown protocol":    {map[string]string{endpoint: "http://h:1", protocol: "tcp"}, "", protocol + ` is "tcp": use http/protobuf, http/json or grpc`},
		"no scheme":              {map[string]string{endpoint: "h:1"}, "", endpoint + " is not a URL of a collector: write http://host:port"},
		"no host":                {map[string]string{traces: "http://:1"}, "", traces + " is not a URL of a collector"},
		"another scheme":         {map[string]string{endpoint: "unix:///secret"}, "", endpoint + " is not a URL of a collector"},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := telemetry.ReadCollector(func(name string) string { return test.env[name] })
			addr := ""
			if c != nil {
				addr = c.Addr
			}
			if addr != test.addr || (err != nil) != (test.says != "") || err != nil && !strings.HasPrefix(err.Error(), test.says) {
				t.Errorf("%q, %v; want %q, %q", addr, err, test.addr, test.says)
			}
		})
	}
}

// The collector that the variables name has an address that can be dialed, or there is none, or the error is one line that quotes no
// endpoint, since that may have a password.
func FuzzReadCollector(f *testing.F) {
	for _, endpoint := range []string{"http://h:4318", "https://u:hunter2@h/v1", "h:4317", "http://[::1]", "http://:1", "ftp://h", "http://h:port", "http://[fe80::1%25eth0]:1", "\n", "http://h%zz"} {
		f.Add("otlp", "", endpoint)
		f.Add("", "grpc", endpoint)
	}
	f.Add("jaeger\n", "", "")
	f.Add("none", "", "http://h")
	f.Add("otlp", "json", "")
	f.Fuzz(func(t *testing.T, exporter, protocol, endpoint string) {
		set := map[string]string{"OTEL_TRACES_EXPORTER": exporter, "OTEL_EXPORTER_OTLP_PROTOCOL": protocol, "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint}
		to, err := telemetry.ReadCollector(func(name string) string { return set[name] })
		switch {
		case err != nil && (to != nil || strings.ContainsAny(err.Error(), "\r\n") || len(endpoint) > 20 && strings.Contains(err.Error(), endpoint)):
			t.Errorf("%q: %v, %v", set, to, err)
		case err == nil && (to == nil) != (exporter == "none" || exporter == "" && endpoint == ""):
			t.Errorf("%q: %+v", set, to)
		case to != nil:
			if host, port, err := net.SplitHostPort(to.Addr); err != nil || host == "" || port == "" {
				t.Errorf("%q: the address is %q", set, to.Addr)
			}
		}
	})
}
