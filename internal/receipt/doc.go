// Package receipt keeps the record of each run: when the caller had its
// answer, when the op ended, when the backend stopped working on it, and what
// was left behind.
//
// The figures come from where they happen. Whoever runs a strategy opens a
// receipt, wraps the ops with it and says when the answer is there; a backend
// that can be seen reports itself. A figure that nobody could see is null and
// never a guess. The ledger has a fixed size and bounds the work that is in
// flight and left behind; a receipt stays open until the last of its work has
// ended, however late.
//
// The package knows nothing of HTTP, strategies or backends, and starts no
// goroutine.
package receipt
