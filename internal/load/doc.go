// Package load measures what each strategy costs: it sends a lab an open-loop
// load, cell by cell of a matrix of strategies, ops and networks, waits until the
// last of the work has ended, probes whether the service still works, and
// records it all. Recommend chooses the timeouts of such a matrix by what calls
// take without one.
//
// It knows a lab only by its URL, so that what it measures is what everyone
// gets; it has no strategy and no op of its own. It refuses, before the first
// request, a matrix that the lab can't run, and a lab on which somebody else has
// runs going. Figures are made of the records by package results.
package load
