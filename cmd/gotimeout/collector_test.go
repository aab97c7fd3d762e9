package main

import (
	"bytes"
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// otlp is a collector of traces, over real HTTP.
type otlp struct {
	*httptest.Server
	mu       sync.Mutex
	spans    []*tracepb.Span
	resource map[string]string
}

// collect starts a collector, to which labs that start after it send.
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

// await returns the n spans of these names, in the order of the names, when they
// have arrived.
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

// traceparent is how the span's context is sent on.
func traceparent(s *tracepb.Span) string {
	return "00-" + hex.EncodeToString(s.TraceId) + "-" + hex.EncodeToString(s.SpanId) + "-01"
}

func length(s *tracepb.Span) time.Duration {
	return time.Duration(s.EndTimeUnixNano - s.StartTimeUnixNano)
}

// childOf tells whether a span is one of the parent's.
func childOf(s, parent *tracepb.Span) bool {
	return bytes.Equal(s.TraceId, parent.TraceId) && bytes.Equal(s.ParentSpanId, parent.SpanId)
}

// leftBy tells whether a span is the root of a trace of its own with a link to
// the one that left it, and to no other.
func leftBy(s, op *tracepb.Span) bool {
	return len(s.ParentSpanId) == 0 && !bytes.Equal(s.TraceId, op.TraceId) &&
		len(s.Links) == 1 && bytes.Equal(s.Links[0].TraceId, op.TraceId) && bytes.Equal(s.Links[0].SpanId, op.SpanId)
}
