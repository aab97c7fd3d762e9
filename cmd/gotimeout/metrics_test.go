package main

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// scrape is what /metrics answers: values by series, as they are written.
type scrape map[string]float64

func (p program) scrape(t *testing.T) scrape {
	t.Helper()
	resp, err := http.Get(p.url + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("GET /metrics: %s, %v\n%s", resp.Status, err, text)
	}
	all := scrape{}
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		at := strings.LastIndex(line, " ")
		value, err := strconv.ParseFloat(strings.TrimSpace(line[at:]), 64)
		if err != nil {
			t.Fatalf("GET /metrics: %q: %v", line, err)
		}
		all[line[:at]] = value
	}
	return all
}

// The metrics are those of the receipts.
func TestMetrics(t *testing.T) {
	t.Parallel()
	p := start(t, "--max-in-flight=1")
	_, ok := p.complete(t, "/baseline?op=cache&delay=10ms")
	_, cut := p.complete(t, "/goroutine-abandon?op=db&delay=300ms&timeout=50ms")
	held := make(chan error, 1)
	go func() { _, err := p.fetch("/errgroup?delay=500ms", new(any)); held <- err }()
	eventually(t, "a run is in flight", func() bool { return p.scrape(t)["gotimeout_in_flight"] == 1 })
	if status := p.get(t, "/context-cancel", new(any)); status != http.StatusServiceUnavailable {
		t.Errorf("a second run in flight is answered %d", status)
	}
	if err := <-held; err != nil {
		t.Fatal(err)
	}
	const abandoned = `{op="db",strategy="goroutine-abandon"}`
	now := p.scrape(t)
	for series, want := range map[string]float64{
		`gotimeout_runs_total{op="cache",status="completed",strategy="baseline"}`:       1,
		`gotimeout_runs_total{op="db",status="timed_out",strategy="goroutine-abandon"}`: 1,
		`gotimeout_runs_total{op="http",status="refused",strategy="context-cancel"}`:    1,
		`gotimeout_runs_total{op="http",status="failed",strategy="context-cancel"}`:     0,
		"gotimeout_timeout_seconds_sum" + abandoned:                                     .05,
		"gotimeout_answered_seconds_sum" + abandoned:                                    *cut.Answered / 1000,
		"gotimeout_overshoot_seconds_sum" + abandoned:                                   *cut.Overshoot / 1000,
		"gotimeout_straggle_seconds_sum" + abandoned:                                    *cut.Straggle / 1000,
		"gotimeout_waste_seconds_sum" + abandoned:                                       *cut.Waste / 1000,
		"gotimeout_waste_seconds_count" + abandoned:                                     1,
		`gotimeout_answered_seconds_sum{op="cache",strategy="baseline"}`:                *ok.Answered / 1000,
		`gotimeout_overshoot_seconds_count{op="cache",strategy="baseline"}`:             0,
		`gotimeout_straggle_seconds_count{op="cache",strategy="baseline"}`:              1,
		"gotimeout_in_flight": 0,
		"gotimeout_busy":      0,
	} {
		if got, there := now[series]; !there || got-want > 1e-6 || want-got > 1e-6 {
			t.Errorf("%s is %v (there: %t), want %v", series, got, there, want)
		}
	}
	if runtime.GOOS == "linux" && now[`gotimeout_connections{backend="cache",state="ESTABLISHED"}`] != 1 {
		t.Error("the connection to the cache is not among the metrics")
	}
}

// There are as many series as there may be, however many runs there are, but
// for the states of connections, which are the kernel's.
func TestMetricsAreBounded(t *testing.T) {
	p := start(t)
	known := func() []string {
		return slices.DeleteFunc(slices.Sorted(maps.Keys(p.scrape(t))), func(series string) bool {
			return !strings.HasPrefix(series, "gotimeout_") || strings.HasPrefix(series, "gotimeout_connections")
		})
	}
	before := known()
	for i := range 20 {
		p.complete(t, fmt.Sprintf("/context-cancel?op=db&delay=%dms&timeout=%dms", i, i+1))
	}
	p.get(t, "/nothing?op=here", new(any))
	p.get(t, "/baseline?op=here", new(any))
	if after := known(); !slices.Equal(before, after) {
		t.Errorf("%d series before, %d after", len(before), len(after))
	}
}

var slowLine = regexp.MustCompile(`level=WARN msg=slow strategy=(\S+) op=http answered=(\S+) timeout=20ms status=(\S+) receipt=(\S+)`)

// A bounded run that is answered too late is logged with its receipt, and no
// other: the baseline has no timeout to be late after.
func TestLogSlow(t *testing.T) {
	p := start(t, "--log-slow=100ms")
	p.complete(t, "/baseline?delay=50ms&timeout=20ms")
	p.complete(t, "/context-cancel?delay=300ms&timeout=20ms")
	p.complete(t, "/baseline?delay=300ms&timeout=20ms")
	_, late := p.complete(t, "/context-cancel?delay=300ms&timeout=20ms&ctx=deaf")
	_, deaf := p.complete(t, "/errgroup?delay=300ms&timeout=20ms&ctx=deaf")
	p.stop()
	lines := slowLine.FindAllStringSubmatch(p.log.String(), -1)
	if len(lines) != 2 {
		t.Fatalf("%d lines, want 2:\n%s", len(lines), p.log)
	}
	for i, want := range [][]string{{"context-cancel", "completed", late.ID}, {"errgroup", "timed_out", deaf.ID}} {
		answered, err := time.ParseDuration(lines[i][2])
		if err != nil || answered < 300*time.Millisecond || !slices.Equal([]string{lines[i][1], lines[i][3], lines[i][4]}, want) {
			t.Errorf("%s, want %q", lines[i][0], want)
		}
	}
}

func TestLogSlowOff(t *testing.T) {
	p := start(t, "--log-slow=0")
	p.complete(t, "/errgroup?delay=100ms&timeout=1ms&ctx=deaf")
	p.stop()
	if strings.Contains(p.log.String(), "msg=slow") {
		t.Errorf("it is told:\n%s", p.log)
	}
}
