// Package handlers serves the lab over HTTP: an endpoint for each strategy, the
// receipts, the comparison of all strategies (/compare when it is over, /race as it
// happens), the page, the health of the backends, and a description of the lab
// itself.
//
// For a run it parses the query, opens a receipt, lets the strategy run the op and
// answers with the outcome. The package knows no client and no backend: an op comes
// as functions, so the tests need no network. A request that it does not understand,
// or that is over the lab's caps, is refused before anything runs, with one sentence.
// A stream of events does not wait for its readers: a slow reader is disconnected.
package handlers
