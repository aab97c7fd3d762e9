// Package report shows the results of a comparison: as a table for a terminal,
// Markdown, JSON, CSV and a page; what differs between two; and whether a
// condition on a figure holds. It shows a recommendation of a timeout likewise.
//
// Whatever it shows comes from results.Results and its Columns: it has no figure
// and no name of its own, and it computes none but those that hold two results
// against each other. It reads no file and knows no server.
package report
