package telemetry

import (
	"net/http"
	"time"

	"gotimeout/internal/receipt"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Lab is what the metrics are of.
type Lab struct {
	Strategies, Ops []string // those of the runs
	Counts          func() receipt.Counts
	// Connections returns how many there are to each backend in each state, and
	// is asked at each scrape. nil: the system doesn't tell.
	Connections func() (map[string]map[string]int, error)
	Version     string
}

// Metrics are a lab's. As a [receipt.Watcher] it counts the runs of a ledger.
type Metrics struct {
	registry *prometheus.Registry
	series   map[pair]*series
}

type pair struct{ strategy, op string }

// series are those of a strategy and an op.
type series struct {
	runs                                 map[receipt.Status]prometheus.Counter
	timeout                              prometheus.Observer
	answered, overshoot, straggle, waste prometheus.Observer
}

// NewMetrics makes the metrics, with every series at 0: a counter that appears
// with its first run would hide it from rate().
func NewMetrics(lab Lab) *Metrics {
	m := &Metrics{registry: prometheus.NewRegistry(), series: map[pair]*series{}}
	m.registry.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		gauges{lab},
	)
	v := newVectors(m.registry)
	for _, strategy := range lab.Strategies {
		for _, op := range lab.Ops {
			m.series[pair{strategy, op}] = v.of(strategy, op)
		}
	}
	return m
}

// Handler serves the metrics.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{
		Registry:           m.registry,
		ErrorHandling:      promhttp.ContinueOnError, // without what can't be told
		DisableCompression: true,                     // which would cost the lab more than all else of a scrape
	})
}

// Refused counts a run that was not started.
func (m *Metrics) Refused(run *receipt.Run) {
	if s := m.series[pair{run.Name, run.Slow}]; s != nil {
		s.runs[receipt.Refused].Inc()
	}
}

// Answered counts a run with its answer.
func (m *Metrics) Answered(run *receipt.Run, f receipt.Figures) {
	s := m.series[pair{run.Name, run.Slow}]
	if s == nil {
		return
	}
	s.runs[f.Status].Inc()
	s.timeout.Observe(run.Timeout.Seconds())
	s.answered.Observe(f.Answered.Seconds())
	observe(s.overshoot, f.Overshoot)
}

// Completed counts what went on after the answer.
func (m *Metrics) Completed(run *receipt.Run, f receipt.Figures) {
	if s := m.series[pair{run.Name, run.Slow}]; s != nil {
		observe(s.straggle, f.Straggle)
		observe(s.waste, f.Waste)
	}
}

func observe(o prometheus.Observer, f receipt.Figure) {
	if f.Known {
		o.Observe(f.Time.Seconds())
	}
}

// vectors are the metrics of runs, by strategy and op.
type vectors struct {
	runs                                 *prometheus.CounterVec
	timeout                              *prometheus.SummaryVec
	answered, overshoot, straggle, waste *prometheus.HistogramVec
}

// The buckets, in seconds: timeouts are from milliseconds to --max-timeout,
// what comes after the answer is nothing, or up to a delay; an overshoot is a
// timer's where the bound binds, and up to a delay where the op is deaf.
var (
	long  = []float64{.001, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30}
	short = []float64{.0002, .0005, .001, .002, .005, .01, .02, .05, .1, .25, .5, 1, 5}
)

func newVectors(to prometheus.Registerer) vectors {
	by := []string{"strategy", "op"}
	histogram := func(name, help string, buckets []float64) *prometheus.HistogramVec {
		return prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: name, Help: help, Buckets: buckets,
			NativeHistogramBucketFactor:     1.2, // each bucket ends at most a fifth after it begins
			NativeHistogramMaxBucketNumber:  100,
			NativeHistogramMinResetDuration: time.Hour,
		}, by)
	}
	v := vectors{
		runs: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "gotimeout_runs_total", Help: "Runs, when they were answered or refused.",
		}, append(by, "status")),
		timeout: prometheus.NewSummaryVec(prometheus.SummaryOpts{
			Name: "gotimeout_timeout_seconds", Help: "The timeouts asked for, of answered runs.",
		}, by),
		answered:  histogram("gotimeout_answered_seconds", "From the start of a run until its caller had the answer.", long),
		overshoot: histogram("gotimeout_overshoot_seconds", "Answered less timeout, of bounded runs answered after their timeout, completed or not.", short),
		straggle:  histogram("gotimeout_straggle_seconds", "How long ops went on after the answer, of complete runs.", long),
		waste:     histogram("gotimeout_waste_seconds", "How long backends worked on after the answer, of complete runs where that is seen.", long),
	}
	to.MustRegister(v.runs, v.timeout, v.answered, v.overshoot, v.straggle, v.waste)
	return v
}

func (v vectors) of(strategy, op string) *series {
	s := &series{
		runs:     map[receipt.Status]prometheus.Counter{},
		timeout:  v.timeout.WithLabelValues(strategy, op),
		answered: v.answered.WithLabelValues(strategy, op), overshoot: v.overshoot.WithLabelValues(strategy, op),
		straggle: v.straggle.WithLabelValues(strategy, op), waste: v.waste.WithLabelValues(strategy, op),
	}
	for _, status := range []receipt.Status{receipt.Completed, receipt.TimedOut, receipt.Failed, receipt.Refused} {
		s.runs[status] = v.runs.WithLabelValues(strategy, op, string(status))
	}
	return s
}
