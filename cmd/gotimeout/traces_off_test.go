package main

import (
	"bytes"
	"runtime/pprof"
	"strings"
	"testing"
	"time"

	"gotimeout/internal/receipt"
)

// Who says that a trace is not sampled gets no span, also not of what is left;
// the backend is told.
func TestTraceNotSampled(t *testing.T) {
	c := collect(t)
	p := start(t)
	p.ask(t, "/goroutine-abandon?op=db&delay=300ms&timeout=50ms", unsampled)
	if sql := p.work(t); !strings.Contains(sql, "traceparent='00-"+callersTrace+"-") || !strings.HasSuffix(sql, "-00'*/") {
		t.Errorf("the database was sent %s", sql)
	}
	p.await(t, "nothing left behind", func(c receipt.Counts) bool { return c.Abandoned == 0 })
	p.stop()
	if all := c.all(); len(all) != 0 {
		t.Errorf("spans of what is not sampled: %v", all)
	}
}

// What goes on is sampled as the call that left it, and the sampler is the one
// of the variables.
func TestTraceSampledByTheVariables(t *testing.T) {
	c := collect(t)
	t.Setenv("OTEL_TRACES_SAMPLER", "parentbased_always_off")
	p := start(t)
	p.complete(t, "/goroutine-abandon?op=db&delay=300ms&timeout=50ms")
	p.ask(t, "/goroutine-abandon?op=db&delay=300ms&timeout=50ms", sampled)
	c.await(t, "GET /goroutine-abandon", "goroutine-abandon", "db", "straggle", "waste")
}

// Without the variables there are no traces: nothing is sent to the backends,
// also not the caller's trace, and nothing of OpenTelemetry runs.
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
			answer := p.ask(t, "/goroutine-abandon?op=db&delay=1s&timeout=50ms", sampled)
			id := strings.TrimPrefix(*answer.Receipt, "/receipts/")
			if sql, want := p.work(t), "SELECT /* gotimeout run="+id+" */ SLEEP(1)"; sql != want {
				t.Errorf("the database was sent %q, want %q", sql, want)
			}
			if got := b.got(); got != "" {
				t.Errorf("the httpbin was sent %q", got)
			}
			var stacks bytes.Buffer
			_ = pprof.Lookup("goroutine").WriteTo(&stacks, 1)
			if strings.Contains(stacks.String(), "go.opentelemetry.io") {
				t.Errorf("OpenTelemetry runs:\n%s", &stacks)
			}
		})
	}
}

// A collector that is down is told once, and holds nothing up.
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
	if code := p.stop(); code != 0 || time.Since(stopping) > 5*time.Second {
		t.Errorf("exit code %d after %v", code, time.Since(stopping))
	}
	if n := strings.Count(p.log.String(), "traces are lost"); n != 1 {
		t.Errorf("it was told %d times:\n%s", n, p.log)
	}
}
