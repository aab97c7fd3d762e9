// Package handlers serves the lab over HTTP: one endpoint a strategy, the
// receipts, the comparison of all strategies, once it is over or as it happens,
// the page, the health of the backends, and what the lab itself is and
// uses, at once or once a second.
//
// It parses what was asked, opens a receipt, lets the strategy run the op and
// says how it went. It knows no client and no backend: the ops come as
// functions, so it is tested without a network. It refuses, with one sentence
// and before anything runs, whatever it does not understand or what is over
// the lab's caps. A stream of events waits for nobody: who doesn't read it is
// dropped.
package handlers
