package main

import (
	"bytes"
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime/pprof"
	"strings"
	"sync"
	"testing"
	"time"

	"gotimeout/handlers"
	"gotimeout/internal/receipt"
	"gotimeout/internal/wire"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

const (
	callersTrace = "4bf92f3577b34da6a3ce929d0e0e4736"
	callersSpan  = "00f067aa0ba902b7"
	sampled      = "00-" + callersTrace + "-" + callersSpan + "-01"
	unsampled    = "00-" + callersTrace + "-" + callersSpan + "-00"
)

// ask runs a path as a caller with a trace, and returns the answer.
func (p program) ask(t *testing.T, path, traceparent string) (answer wire.Answer) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.url+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Traceparent", traceparent)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	decode(t, resp.Body, &answer)
	return answer
}

// work returns the query that the database works on, as soon as there is one.
func (p program) work(t *testing.T) (work string) {
	t.Helper()
	eventually(t, "the database works", func() bool {
		var now struct{ Backends []handlers.Backend }
		p.get(t, "/backends", &now)
		for _, job := range now.Backends[2].Working {
			work += job.Work
		}
		return work != ""
	})
	return work
}

// The span of the request is the parent of the strategy's span, and that is the parent of
// the op's. For an abandoned query both end with the answer. The goroutine and the query go
// on in traces of their own, with a link to the op. The query has the trace of the op.
func TestTraceOfAnAbandonedQuery(t *testing.T) {
	c := collect(t)
	p := start(t)
	answer := p.ask(t, "/goroutine-abandon?op=db&delay=5s&timeout=1s", sampled)
	sql := p.work(t)
	spans := c.await(t, "GET /goroutine-abandon", "goroutine-abandon", "db", "straggle", "waste")
	server, run, op, straggle, waste := spans[0], spans[1], spans[2], spans[3], spans[4]

	if from := traceparent(server); from[3:35] != callersTrace || !bytes.HasPrefix(server.ParentSpanId, []byte{0x00, 0xf0, 0x67}) {
		t.Errorf("the request's span %s is no child of the caller's", from)
	}
	if !childOf(run, server) || !childOf(op, run) {
		t.Errorf("parents: strategy %v, op %v", childOf(run, server), childOf(op, run))
	}
	if !leftBy(straggle, op) || !leftBy(waste, op) || bytes.Equal(straggle.TraceId, waste.TraceId) {
		t.Errorf("straggle %v and waste %v are not traces of their own with a link to the op", straggle, waste)
	}
	for _, s := range []*tracepb.Span{server, run, op} {
		if length(s) < 990*time.Millisecond || length(s) > 4*time.Second {
			t.Errorf("%s took %v, want until the answer after 1s", s.Name, length(s))
		}
	}
	for _, s := range []*tracepb.Span{straggle, waste} {
		if length(s) < 500*time.Millisecond || s.StartTimeUnixNano < op.StartTimeUnixNano+uint64(990*time.Millisecond) {
			t.Errorf("%s took %v, want from the answer until the end of the query after 5s", s.Name, length(s))
		}
	}
	id := strings.TrimPrefix(*answer.Receipt, "/receipts/")
	if want := "SELECT /* gotimeout run=" + id + " */ SLEEP(5) /*traceparent='" + traceparent(op) + "'*/"; sql != want {
		t.Errorf("the database got\n%s, want\n%s", sql, want)
	}
	checkAttributes(t, c, id, spans)
}

func checkAttributes(t *testing.T, c *otlp, id string, spans []*tracepb.Span) {
	for _, test := range []struct {
		span      int
		kind      tracepb.Span_SpanKind
		attribute string
		want      string
	}{
		{0, tracepb.Span_SPAN_KIND_SERVER, "http.route", "/goroutine-abandon"},
		{0, tracepb.Span_SPAN_KIND_SERVER, "http.response.status_code", "int_value:504"},
		{1, tracepb.Span_SPAN_KIND_INTERNAL, "gotimeout.status", "timed_out"},
		{1, tracepb.Span_SPAN_KIND_INTERNAL, "error.type", "timed_out"},
		{2, tracepb.Span_SPAN_KIND_CLIENT, "gotimeout.left", "goroutine"},
		{2, tracepb.Span_SPAN_KIND_CLIENT, "gotimeout.receipt", id},
		{3, tracepb.Span_SPAN_KIND_INTERNAL, "gotimeout.left", "goroutine"},
		{4, tracepb.Span_SPAN_KIND_INTERNAL, "gotimeout.left", "backend"},
		{4, tracepb.Span_SPAN_KIND_INTERNAL, "gotimeout.strategy", "goroutine-abandon"},
	} {
		s := spans[test.span]
		if got := attribute(s, test.attribute); s.Kind != test.kind || strings.ReplaceAll(got, " ", "") != test.want {
			t.Errorf("%s is %v with %s=%s, want %v with %s", s.Name, s.Kind, test.attribute, got, test.kind, test.want)
		}
	}
	if c.resource["service.name"] != "gotimeout" || c.resource["service.version"] == "" {
		t.Errorf("the resource is %v", c.resource)
	}
}

// httpbin is a backend that keeps the traceparents that it gets.
type httpbin struct {
	*httptest.Server
	mu   sync.Mutex
	sent []string
}

func newHTTPBin(t *testing.T) *httpbin {
	b := new(httpbin)
	b.Server = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.sent = append(b.sent, r.Header.Values("Traceparent")...)
	}))
	t.Cleanup(b.Close)
	return b
}

func (b *httpbin) got() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return strings.Join(b.sent, " ")
}

// A call that ends in time leaves no trace of its own behind, and the httpbin gets the span
// of the op.
func TestTraceOfACompletedCall(t *testing.T) {
	c, b := collect(t), newHTTPBin(t)
	p := start(t, "--http-url="+b.URL)
	p.ask(t, "/context-cancel?delay=0", sampled)
	spans := c.await(t, "GET /context-cancel", "context-cancel", "http")
	if got, want := b.got(), traceparent(spans[2]); got != want {
		t.Errorf("the httpbin got %q, want %q", got, want)
	}
	p.stop()
	if all := c.all(); len(all) != 3 {
		t.Errorf("%d spans, want 3: %v", len(all), all)
	}
}

// A comparison is one request with several runs, and a run of op=all has three calls.
func TestTraceOfAComparison(t *testing.T) {
	c := collect(t)
	p := start(t)
	p.ask(t, "/errgroup?op=all&delay=0", sampled)
	resp, err := http.Get(p.url + "/compare?delay=0")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	p.stop()
	count := map[string]int{}
	for _, s := range c.all() {
		count[s.Name]++
	}
	for name, want := range map[string]int{"GET /compare": 1, "baseline": 1, "errgroup": 2, "http": suiting("http"), "GET /errgroup": 1, "all": len(together)} {
		if count[name] != want {
			t.Errorf("%d spans of %s, want %d: %v", count[name], name, want, count)
		}
	}
}

// A request whose traceparent is not sampled makes no span, also not for the work that goes
// on. The backend gets the same flag.
func TestTraceNotSampled(t *testing.T) {
	c := collect(t)
	p := start(t)
	p.ask(t, "/goroutine-abandon?op=db&delay=2s&timeout=200ms", unsampled)
	if sql := p.work(t); !strings.Contains(sql, "traceparent='00-"+callersTrace+"-") || !strings.HasSuffix(sql, "-00'*/") {
		t.Errorf("the database got %s", sql)
	}
	p.await(t, "nothing left behind", func(c receipt.Counts) bool { return c.Abandoned == 0 })
	p.stop()
	if all := c.all(); len(all) != 0 {
		t.Errorf("a trace that is not sampled has spans: %v", all)
	}
}

// The work that goes on is sampled as its call is, and the environment variables choose the
// sampler.
func TestTraceSampledByTheVariables(t *testing.T) {
	c := collect(t)
	t.Setenv("OTEL_TRACES_SAMPLER", "parentbased_always_off")
	p := start(t)
	p.complete(t, "/goroutine-abandon?op=db&delay=2s&timeout=200ms")
	p.ask(t, "/goroutine-abandon?op=db&delay=2s&timeout=200ms", sampled)
	c.await(t, "GET /goroutine-abandon", "goroutine-abandon", "db", "straggle", "waste")
}

// Without the environment variables there are no traces: the backends get no traceparent, also
// not the caller's, and no goroutine of OpenTelemetry runs.
func TestNoTraces(t *testing.T) {
	for name, env := range map[string]map[string]string{
		"nothing is set": nil,
		"disabled":       {"OTEL_SDK_DISABLED": "true", "OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"},
		"none":           {"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"},
	} {
		t.Run(name, func(t *testing.T) {
			for k, v := range env {
				t.Setenv(k, v)
			}
			b := newHTTPBin(t)
			p := start(t, "--http-url="+b.URL)
			p.ask(t, "/baseline?delay=0", sampled)
			answer := p.ask(t, "/goroutine-abandon?op=db&delay=2s&timeout=200ms", sampled)
			id := strings.TrimPrefix(*answer.Receipt, "/receipts/")
			if sql, want := p.work(t), "SELECT /* gotimeout run="+id+" */ SLEEP(2)"; sql != want {
				t.Errorf("the database got %q, want %q", sql, want)
			}
			if got := b.got(); got != "" {
				t.Errorf("the httpbin got %q", got)
			}
			var stacks bytes.Buffer
			_ = pprof.Lookup("goroutine").WriteTo(&stacks, 1)
			if strings.Contains(stacks.String(), "go.opentelemetry.io") {
				t.Errorf("OpenTelemetry runs:\n%s", &stacks)
			}
		})
	}
}

// A collector that is down is logged once, and does not delay the end.
func TestCollectorDown(t *testing.T) {
	collect(t).Close()
	t.Setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "100")
	p := start(t)
	for range 2 {
		p.ask(t, "/baseline?delay=0", sampled)
	}
	eventually(t, "it is told", func() bool { return strings.Contains(p.log.String(), "traces are lost") })
	p.ask(t, "/baseline?delay=0", sampled)
	stopping := time.Now()
	if code := p.stop(); code != 0 || time.Since(stopping) > 30*time.Second {
		t.Errorf("exit code %d after %v", code, time.Since(stopping))
	}
	if n := strings.Count(p.log.String(), "traces are lost"); n != 1 {
		t.Errorf("the failure was logged %d times:\n%s", n, p.log)
	}
}

// otlp is a collector of traces, over real HTTP.
type otlp struct {
	*httptest.Server
	mu       sync.Mutex
	spans    []*tracepb.Span
	resource map[string]string
}

// collect starts a collector. Labs that start later send their traces to it.
func collect(t *testing.T) *otlp {
	t.Helper()
	c := new(otlp)
	c.Server = httptest.NewServer(c)
	t.Cleanup(c.Close)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", c.URL)
	t.Setenv("OTEL_BSP_SCHEDULE_DELAY", "20")
	return c
}

func (c *otlp) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var request collector.ExportTraceServiceRequest
	body, err := io.ReadAll(r.Body)
	if err == nil {
		err = proto.Unmarshal(body, &request)
	}
	if err != nil || r.URL.Path != "/v1/traces" {
		http.Error(w, "no traces", http.StatusBadRequest)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, of := range request.ResourceSpans {
		c.resource = map[string]string{}
		for _, a := range of.Resource.Attributes {
			c.resource[a.Key] = a.Value.GetStringValue()
		}
		for _, scope := range of.ScopeSpans {
			c.spans = append(c.spans, scope.Spans...)
		}
	}
	w.Header().Set("Content-Type", "application/x-protobuf")
}

func (c *otlp) all() []*tracepb.Span {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]*tracepb.Span{}, c.spans...)
}

// await waits until a span of each name has arrived, and returns them in the order of
// the names.
func (c *otlp) await(t *testing.T, names ...string) (spans []*tracepb.Span) {
	t.Helper()
	eventually(t, "the collector has all spans", func() bool {
		spans = nil
		for _, name := range names {
			for _, s := range c.all() {
				if s.Name == name {
					spans = append(spans, s)
				}
			}
		}
		return len(spans) >= len(names)
	})
	if len(spans) != len(names) {
		t.Fatalf("%d spans of the names %q, want one of each", len(spans), names)
	}
	return spans
}

func attribute(s *tracepb.Span, key string) string {
	for _, a := range s.Attributes {
		if a.Key == key {
			if text := a.Value.GetStringValue(); text != "" {
				return text
			}
			return a.Value.String()
		}
	}
	return ""
}

// traceparent returns the header that sends the span's context on.
func traceparent(s *tracepb.Span) string {
	return "00-" + hex.EncodeToString(s.TraceId) + "-" + hex.EncodeToString(s.SpanId) + "-01"
}

func length(s *tracepb.Span) time.Duration {
	return time.Duration(s.EndTimeUnixNano - s.StartTimeUnixNano)
}

// childOf reports whether a span is a child of the parent.
func childOf(s, parent *tracepb.Span) bool {
	return bytes.Equal(s.TraceId, parent.TraceId) && bytes.Equal(s.ParentSpanId, parent.SpanId)
}

// leftBy reports whether a span is the root of a trace of its own, with one link: to the
// op.
func leftBy(s, op *tracepb.Span) bool {
	return len(s.ParentSpanId) == 0 && !bytes.Equal(s.TraceId, op.TraceId) &&
		len(s.Links) == 1 && bytes.Equal(s.Links[0].TraceId, op.TraceId) && bytes.Equal(s.Links[0].SpanId, op.SpanId)
}
