package telemetry

import (
	"net/http"
	"runtime"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"gotimeout/internal/receipt"
)

// Lab is what the metrics report on.
type Lab struct {
	Strategies, Ops []string // a series each
	Counts          func() receipt.Counts
	// Connections returns the number of connections to each backend in each state, and is called at each scrape. It is nil where
	// the system does not show them.
	Connections func() (map[string]map[string]int, error)
	Version     string
}

// Metrics are the metrics of a lab. Metrics is a [receipt.Watcher], and so counts the runs of a ledger.
type Metrics struct {
	registry *prometheus.Registry
	series   map[pair]*series
}

type pair struct{ strategy, op string }

// series are the metrics of one strategy and op.
type series struct {
	runs                                 map[receipt.Status]prometheus.Counter
	timeout                              prometheus.Observer
	answered, overshoot, straggle, waste prometheus.Observer
}

// NewMetrics makes the metrics, with every series at 0: rate() would not see the first run of a counter that appears with it.
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
		ErrorHandling:      promhttp.ContinueOnError, // a metric that cannot be read is left out
		DisableCompression: true,                     // compression would cost the lab more than the rest of a scrape
	})
}

// Refused counts a run that was not started.
func (m *Metrics) Refused(run *receipt.Run) {
	if s := m.series[pair{run.Name, run.Slow}]; s != nil {
		s.runs[receipt.Refused].Inc()
	}
}

// Answered counts a run when it is answered.
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

// Completed counts the work that went on after the answer.
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

// vectors are the metrics of runs, with the labels strategy and op.
type vectors struct {
	runs                                 *prometheus.CounterVec
	timeout                              *prometheus.SummaryVec
	answered, overshoot, straggle, waste *prometheus.HistogramVec
}

// The buckets, in seconds. Timeouts go from milliseconds to --max-timeout, and work after the answer goes up to a delay. An
// overshoot is as short as a timer's delay where the op is cut, and as long as the op's delay where the op is deaf.
var (
	long  = []float64{.001, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30}
	short = []float64{.0002, .0005, .001, .002, .005, .01, .02, .05, .1, .25, .5, 1, 5}
)

func newVectors(to prometheus.Registerer) vectors {
	by := []string{"strategy", "op"}
	histogram := func(name, help string, buckets []float64) *prometheus.HistogramVec {
		return prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: name, Help: help, Buckets: buckets,
			NativeHistogramBucketFactor:     1.2, // each bucket's end is at most 20% above its start
			NativeHistogramMaxBucketNumber:  100,
			NativeHistogramMinResetDuration: time.Hour,
		}, by)
	}
	v := vectors{
		runs: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "gotimeout_runs_total", Help: "Runs that were answered or refused.",
		}, append(by, "status")),
		timeout: prometheus.NewSummaryVec(prometheus.SummaryOpts{
			Name: "gotimeout_timeout_seconds", Help: "Requested timeouts of answered runs.",
		}, by),
		answered:  histogram("gotimeout_answered_seconds", "From the start of a run until its caller had the answer.", long),
		overshoot: histogram("gotimeout_overshoot_seconds", "Answered less timeout, of bounded runs answered after their timeout, completed or not.", short),
		straggle:  histogram("gotimeout_straggle_seconds", "How long ops ran on after the answer, of complete runs.", long),
		waste:     histogram("gotimeout_waste_seconds", "How long backends worked on after the answer, of complete runs whose backends report their end.", long),
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
	for _, status := range []receipt.Status{receipt.Completed, receipt.Accepted, receipt.TimedOut, receipt.Failed, receipt.Refused} {
		s.runs[status] = v.runs.WithLabelValues(strategy, op, string(status))
	}
	return s
}

// gauges are read at each scrape.
type gauges struct{ lab Lab }

var (
	inFlight    = prometheus.NewDesc("gotimeout_in_flight", "Runs that are not answered yet.", nil, nil)
	abandoned   = prometheus.NewDesc("gotimeout_abandoned", "Answered runs whose ops or backends still work.", nil, nil)
	busy        = prometheus.NewDesc("gotimeout_busy", "Runs that compute in this process.", nil, nil)
	connections = prometheus.NewDesc("gotimeout_connections", "The lab's ends of connections to a backend that the kernel still keeps, by state.", []string{"backend", "state"}, nil)
	buildInfo   = prometheus.NewDesc("gotimeout_build_info", "Always 1; the labels say what this lab was built from.", []string{"version", "goversion", "os", "arch"}, nil)
)

func (g gauges) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{inFlight, abandoned, busy, connections, buildInfo} {
		to <- d
	}
}

func (g gauges) Collect(to chan<- prometheus.Metric) {
	set := func(d *prometheus.Desc, value int, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(value), labels...)
	}
	now := g.lab.Counts()
	set(inFlight, now.InFlight)
	set(abandoned, now.Abandoned)
	set(busy, now.Busy)
	set(buildInfo, 1, g.lab.Version, runtime.Version(), runtime.GOOS, runtime.GOARCH)
	if g.lab.Connections == nil {
		return
	}
	backends, err := g.lab.Connections()
	if err != nil {
		to <- prometheus.NewInvalidMetric(connections, err)
		return
	}
	for backend, states := range backends {
		for state, n := range states {
			set(connections, n, backend, state)
		}
	}
}
