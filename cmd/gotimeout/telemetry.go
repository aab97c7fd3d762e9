package main

import (
	"context"
	"log/slog"

	"gotimeout/handlers"
	"gotimeout/internal/badnet/private"
	"gotimeout/internal/machine"
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
func watch(lab *handlers.Lab, tracing *telemetry.Tracing) {
	of := telemetry.Lab{Counts: lab.Ledger.Counts, Version: lab.Machine.Version}
	for _, s := range lab.Strategies {
		of.Strategies = append(of.Strategies, s.Name)
	}
	for _, op := range lab.Ops {
		of.Ops = append(of.Ops, op.Name)
	}
	if k, tells := lab.Kernel.(*kernel); tells {
		of.Connections = k.connections
	}
	metrics := telemetry.NewMetrics(of)
	lab.Ledger.Watcher, lab.Metrics = metrics, metrics.Handler()
	if tracing != nil {
		lab.Trace = tracing
	}
}
