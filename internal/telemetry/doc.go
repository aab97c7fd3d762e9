// Package telemetry shows the lab's runs to the tools that watch services:
// metrics for Prometheus, and traces for whatever takes OpenTelemetry's.
//
// Metrics count what the receipts say, when they say it. Traces are off, and
// then cost nothing, unless the standard OTEL_ variables name where they go. A
// span ends with the answer: what goes on after it, a goroutine or the work of a
// backend, is a trace of its own with a link to the call that left it.
//
// The package keeps nothing in the globals of the libraries, adds no figure of
// its own to those of the receipts, and has no label whose values come from a
// request.
package telemetry
