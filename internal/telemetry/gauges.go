package telemetry

import (
	"runtime"

	"github.com/prometheus/client_golang/prometheus"
)

// gauges are read at each scrape.
type gauges struct{ lab Lab }

var (
	inFlight    = prometheus.NewDesc("gotimeout_in_flight", "Runs without an answer.", nil, nil)
	abandoned   = prometheus.NewDesc("gotimeout_abandoned", "Answered runs of which something goes on.", nil, nil)
	busy        = prometheus.NewDesc("gotimeout_busy", "Runs that compute in this process.", nil, nil)
	connections = prometheus.NewDesc("gotimeout_connections", "The lab's ends of connections to a backend that the kernel keeps, by their state.", []string{"backend", "state"}, nil)
	buildInfo   = prometheus.NewDesc("gotimeout_build_info", "1, and what this lab was built of.", []string{"version", "goversion", "os", "arch"}, nil)
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
