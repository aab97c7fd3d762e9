// Package telemetry reports the lab's runs to the tools that watch services: metrics to Prometheus, and traces to a collector of
// OpenTelemetry.
//
// Metrics count the figures of receipts, when a receipt gets them. Traces are off, and then cost nothing, unless the standard OTEL_
// variables name a collector. A span ends with the answer: a goroutine or a backend that works on after the answer is a trace of
// its own, with a link to the call that it belongs to.
//
// The package keeps nothing in the globals of the libraries, adds no figure to those of the receipts, and has no label whose values
// come from a request.
package telemetry
