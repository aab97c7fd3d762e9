// Package results keeps what a comparison recorded, as JSON lines, and makes the
// figures from it: rows of a strategy, an op, a ctx and a network, with a figure
// a column.
//
// There is no other way to a figure: what a table shows right after a run comes
// from the same records as what is read from a file a year later. The columns
// are one list, Columns, from which every table, expression and picture takes
// its names, units and sentences. A figure that nobody could see is nil, never 0.
//
// A Recommendation of a timeout is made of the same rows.
//
// The package runs nothing and draws nothing.
package results
