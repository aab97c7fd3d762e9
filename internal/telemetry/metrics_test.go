package telemetry_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"go.uber.org/goleak"

	"gotimeout/internal/machine"
	"gotimeout/internal/receipt"
	"gotimeout/internal/telemetry"
)

var lab = telemetry.Lab{
	Strategies: []string{"baseline", "goroutine-abandon", "context-cancel", "timer-panic", "errgroup", "io-timeout"},
	Ops:        []string{"http", "cache", "db", "cpu", "all"},
	Counts:     func() receipt.Counts { return receipt.Counts{InFlight: 3, Abandoned: 2, Busy: 1} },
	Connections: func() (map[string]map[string]int, error) {
		return map[string]map[string]int{"http": {"ESTABLISHED": 4, "TIME-WAIT": 5}}, nil
	},
	Version: "v1",
}

func scrape(m *telemetry.Metrics, accept string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, "/metrics", nil)
	r.Header.Set("Accept", accept)
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, r)
	return w
}

func checkLines(t *testing.T, m *telemetry.Metrics, want ...string) {
	t.Helper()
	text := scrape(m, "").Body.String()
	for _, line := range want {
		if !strings.Contains(text, "\n"+line+"\n") {
			t.Errorf("no line %s in\n%s", line, text)
		}
	}
}

// Names, units and helps follow Prometheus's rules, and the values are the lab's at the
// scrape.
func TestGauges(t *testing.T) {
	m := telemetry.NewMetrics(lab)
	problems, err := promlint.New(scrape(m, "").Body).Lint()
	if err != nil || len(problems) > 0 {
		t.Errorf("%v %v", err, problems)
	}
	checkLines(t, m, "gotimeout_in_flight 3", "gotimeout_abandoned 2", "gotimeout_busy 1",
		`gotimeout_connections{backend="http",state="TIME-WAIT"} 5`)
	if text := scrape(m, "").Body.String(); !strings.Contains(text, `version="v1"} 1`) {
		t.Error("the version is missing")
	}
}

// Where the system can't list connections, the other metrics are there.
func TestConnectionsFail(t *testing.T) {
	broken := lab
	broken.Connections = func() (map[string]map[string]int, error) { return nil, errors.New("no sockets") }
	m := telemetry.NewMetrics(broken)
	if w := scrape(m, ""); w.Code != http.StatusOK || strings.Contains(w.Body.String(), "gotimeout_connections") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	checkLines(t, m, "gotimeout_in_flight 3")
}

// A late backend opens a receipt again, and the run is still counted once.
func TestReopenedIsCountedOnce(t *testing.T) {
	m := telemetry.NewMetrics(lab)
	l := receipt.NewLedger("lab", 10, receipt.Limits{InFlight: 1, Abandoned: 1, Busy: 1})
	l.Watcher = m
	r, err := l.Open(receipt.Run{Name: "errgroup", Slow: "db", Ops: 1, Backends: 1, Seen: true, Timeout: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	op := r.Wrap(nop)
	r.BackendBegan()
	r.BackendEnded()
	_ = op(t.Context())
	r.Answered(receipt.Failed, nil)
	for range 3 {
		r.BackendBegan()
		r.BackendEnded()
	}
	const of = `{op="db",strategy="errgroup"} 1`
	checkLines(t, m, `gotimeout_runs_total{op="db",status="failed",strategy="errgroup"} 1`,
		"gotimeout_answered_seconds_count"+of, "gotimeout_straggle_seconds_count"+of, "gotimeout_waste_seconds_count"+of)
}

// A scrape has classic buckets, and native buckets for a client that accepts protobuf.
func TestBuckets(t *testing.T) {
	m := telemetry.NewMetrics(lab)
	fill(m, 1)
	checkLines(t, m, `gotimeout_answered_seconds_bucket{op="db",strategy="errgroup",le="0.25"} 1`)
	native := map[string]bool{}
	families := expfmt.NewDecoder(scrape(m, protobuf).Body, expfmt.NewFormat(expfmt.TypeProtoDelim))
	for {
		var f dto.MetricFamily
		if err := families.Decode(&f); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		native[f.GetName()] = len(f.Metric[0].GetHistogram().GetPositiveSpan()) > 0
	}
	for _, name := range []string{"answered", "overshoot", "straggle", "waste"} {
		if !native["gotimeout_"+name+"_seconds"] {
			t.Errorf("%s has no native buckets", name)
		}
	}
}

// Counting a run makes no allocation. A run of a strategy or an op that the lab doesn't
// have is not counted.
func TestCountingAllocatesNothing(t *testing.T) {
	m := telemetry.NewMetrics(lab)
	before := scrape(m, "").Body.String()
	fill(m, 1000) // makes the native buckets
	known := receipt.Figure{Known: true, Time: time.Millisecond}
	for name, run := range map[string]*receipt.Run{"known": {Name: "errgroup", Slow: "db"}, "unknown": {Name: "x", Slow: "db"}} {
		allocs := testing.AllocsPerRun(100, func() {
			m.Refused(run)
			m.Answered(run, receipt.Figures{Status: receipt.TimedOut, Answered: time.Millisecond, Overshoot: known})
			m.Completed(run, receipt.Figures{Straggle: known, Waste: known})
		})
		if allocs > 0 {
			t.Errorf("%s: %v allocations", name, allocs)
		}
	}
	if after := scrape(m, "").Body.String(); strings.Count(after, "\ngotimeout_") != strings.Count(before, "\ngotimeout_") {
		t.Error("there are more series than before")
	}
}

const protobuf = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited"

// fill counts n runs of each strategy and op. The first takes 250 ms, and each later one
// takes a little longer than the one before.
func fill(m *telemetry.Metrics, n int) {
	for _, strategy := range lab.Strategies {
		for _, op := range lab.Ops {
			for i := range n {
				d := 250*time.Millisecond + time.Duration(i)*time.Millisecond
				known := receipt.Figure{Known: true, Time: d}
				run := &receipt.Run{Name: strategy, Slow: op, Timeout: d}
				m.Answered(run, receipt.Figures{Status: receipt.TimedOut, Answered: d, Overshoot: receipt.Figure{Known: true, Time: d / 100}})
				m.Completed(run, receipt.Figures{Straggle: known, Waste: known})
			}
		}
	}
}

func TestMain(m *testing.M) {
	for _, v := range os.Environ() {
		if name, _, _ := strings.Cut(v, "="); strings.HasPrefix(name, "OTEL_") {
			os.Unsetenv(name)
		}
	}
	goleak.VerifyTestMain(m)
}

func nop(context.Context) error { return nil }

// A scrape with every series may take 5 ms. The shortest is the time on a quiet
// machine.
func BenchmarkScrape(b *testing.B) {
	m := telemetry.NewMetrics(lab)
	fill(m, 1000)
	for name, accept := range map[string]string{"text": "text/plain", "protobuf": protobuf} {
		b.Run(name, func(b *testing.B) {
			least, before := time.Hour, machine.Used().ProcessorTime
			for b.Loop() {
				start := time.Now()
				b.SetBytes(int64(scrape(m, accept).Body.Len()))
				least = min(least, time.Since(start))
			}
			used := machine.Used().ProcessorTime - before
			b.ReportMetric(used.Seconds()*1000/float64(b.N), "cpu-ms/op")
			b.ReportMetric(least.Seconds()*1000, "least-ms")
		})
	}
}

// BenchmarkRun compares a run's record with metrics and without.
func BenchmarkRun(b *testing.B) {
	for name, watcher := range map[string]receipt.Watcher{"without": nil, "with": telemetry.NewMetrics(lab)} {
		b.Run(name, func(b *testing.B) {
			l := receipt.NewLedger("lab", 10_000, receipt.Limits{InFlight: 1000, Abandoned: 1000, Busy: 1000})
			l.Watcher = watcher
			b.ReportAllocs()
			for b.Loop() {
				r, _ := l.Open(receipt.Run{Name: "errgroup", Slow: "db", Ops: 1, Backends: 1, Seen: true})
				r.BackendBegan()
				r.BackendEnded()
				_ = r.Wrap(nop)(context.Background())
				r.Answered(receipt.TimedOut, nil)
			}
		})
	}
}
