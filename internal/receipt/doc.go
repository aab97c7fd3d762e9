// Package receipt keeps the record of each run: when the caller had its
// answer, when the op ended, when the backend stopped working on it, and what
// was left behind.
//
// Each figure is recorded where it happens. The caller that runs a strategy opens
// a receipt, wraps the ops with it and reports the answer; a backend that the lab
// can observe reports its own begin and end. A figure that nobody observed is null
// and never a guess. The ledger has a fixed size and limits the runs that are in
// flight or have left work behind; a receipt stays open until the last of its work
// has ended, however late.
//
// The package knows nothing of HTTP, strategies or backends, and starts no
// goroutine.
package receipt
