package main

import (
	"context"
	"log/slog"

	"gotimeout/handlers"
	"gotimeout/internal/badnet/private"
	"gotimeout/internal/machine"
	"gotimeout/internal/sockets"
	"gotimeout/internal/telemetry"
)

// openTracing returns nil where no traces were asked for. Inside of a private
// network the collector is outside.
func openTracing(ctx context.Context, s settings, process *private.Process, log *slog.Logger) (*telemetry.Tracing, error) {
	if s.collector == nil {
		return nil, nil
	}
	var dial telemetry.Dial
	if process != nil {
		dial = process.Dial
	}
	log.Info("traces", "collector", s.collector.Addr)
	return telemetry.OpenTracing(ctx, s.collector, machine.Version(), dial, log)
}

// watch gives the lab its metrics, and its traces where there are some.
func watch(lab *handlers.Lab, parts []*part, tracing *telemetry.Tracing) {
	of := telemetry.Lab{Counts: lab.Ledger.Counts, Version: lab.Machine.Version}
	for _, s := range lab.Strategies {
		of.Strategies = append(of.Strategies, s.Name)
	}
	for _, op := range lab.Ops {
		of.Ops = append(of.Ops, op.Name)
	}
	if lab.Kernel != nil {
		of.Connections = func() (map[string]map[string]int, error) { return connections(lab.Kernel, parts) }
	}
	metrics := telemetry.NewMetrics(of)
	lab.Ledger.Watcher, lab.Metrics = metrics, metrics.Handler()
	if tracing != nil {
		lab.Trace = tracing
	}
}

// connections counts this end of those to each backend, by their state. The two
// states that are asked for most are there at 0 too.
func connections(kernel handlers.Kernel, parts []*part) (map[string]map[string]int, error) {
	names := make([]string, len(parts))
	for i, p := range parts {
		names[i] = p.name
	}
	now, err := kernel.Sockets(names)
	if err != nil {
		return nil, err
	}
	states := map[string]map[string]int{}
	for _, b := range now.Backends {
		states[b.Name] = b.Client
		for _, always := range []sockets.State{sockets.Established, sockets.TimeWait} {
			b.Client[always.String()] += 0
		}
	}
	return states, nil
}
