package main

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"gotimeout/handlers"
	"gotimeout/internal/wire"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
)

const (
	callersTrace = "4bf92f3577b34da6a3ce929d0e0e4736"
	callersSpan  = "00f067aa0ba902b7"
	sampled      = "00-" + callersTrace + "-" + callersSpan + "-01"
	unsampled    = "00-" + callersTrace + "-" + callersSpan + "-00"
)

// ask runs a path as a caller in a trace, and returns what it was answered.
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

// work is what the database works on.
func (p program) work(t *testing.T) (work string) {
	t.Helper()
	var now struct{ Backends []handlers.Backend }
	p.get(t, "/backends", &now)
	for _, job := range now.Backends[2].Working {
		work += job.Work
	}
	return work
}

// An abandoned query: the request's span has the strategy's, which has the op's,
// and both end with the answer. The goroutine and the query go on in traces of
// their own, linked to the op, whose trace the query carries.
func TestTraceOfAnAbandonedQuery(t *testing.T) {
	c := collect(t)
	p := start(t)
	answer := p.ask(t, "/goroutine-abandon?op=db&delay=1s&timeout=100ms", sampled)
	sql := p.work(t)
	spans := c.await(t, "GET /goroutine-abandon", "goroutine-abandon", "db", "straggle", "waste")
	server, run, op, straggle, waste := spans[0], spans[1], spans[2], spans[3], spans[4]

	if from := traceparent(server); from[3:35] != callersTrace || !bytes.HasPrefix(server.ParentSpanId, []byte{0x00, 0xf0, 0x67}) {
		t.Errorf("the request's span %s is none of the caller's", from)
	}
	if !childOf(run, server) || !childOf(op, run) {
		t.Errorf("parents: strategy %v, op %v", childOf(run, server), childOf(op, run))
	}
	if !leftBy(straggle, op) || !leftBy(waste, op) || bytes.Equal(straggle.TraceId, waste.TraceId) {
		t.Errorf("straggle %v and waste %v are no traces of their own with a link to the op", straggle, waste)
	}
	for _, s := range []*tracepb.Span{server, run, op} {
		if length(s) < 90*time.Millisecond || length(s) > 800*time.Millisecond {
			t.Errorf("%s took %v, want until the answer after 100ms", s.Name, length(s))
		}
	}
	for _, s := range []*tracepb.Span{straggle, waste} {
		if length(s) < 500*time.Millisecond || s.StartTimeUnixNano < op.StartTimeUnixNano+uint64(90*time.Millisecond) {
			t.Errorf("%s took %v, want from the answer until the end of the query after 1s", s.Name, length(s))
		}
	}
	id := strings.TrimPrefix(*answer.Receipt, "/receipts/")
	if want := "SELECT /* gotimeout run=" + id + " */ SLEEP(1) /*traceparent='" + traceparent(op) + "'*/"; sql != want {
		t.Errorf("the database was sent\n%s, want\n%s", sql, want)
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

// httpbin is a backend that keeps the traceparents it is sent.
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

// A call that ends in time leaves nothing, and the httpbin hears of its span.
func TestTraceOfACompletedCall(t *testing.T) {
	c, b := collect(t), newHTTPBin(t)
	p := start(t, "--http-url="+b.URL)
	p.ask(t, "/context-cancel?delay=0", sampled)
	spans := c.await(t, "GET /context-cancel", "context-cancel", "http")
	if got, want := b.got(), traceparent(spans[2]); got != want {
		t.Errorf("the httpbin was sent %q, want %q", got, want)
	}
	p.stop()
	if all := c.all(); len(all) != 3 {
		t.Errorf("%d spans, want 3: %v", len(all), all)
	}
}

// A comparison is one request of several runs, and all is three calls at once.
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
	for name, want := range map[string]int{"GET /compare": 1, "baseline": 1, "errgroup": 2, "http": 6, "GET /errgroup": 1, "all": 3} {
		if count[name] != want {
			t.Errorf("%d spans of %s, want %d: %v", count[name], name, want, count)
		}
	}
}
