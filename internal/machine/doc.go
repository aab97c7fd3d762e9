// Package machine says what a measurement was made on: the system, the
// processors, Go, and the versions of what was built in; and what this process
// has used so far.
//
// It only reads. What the system doesn't show is empty or zero, never a guess.
package machine
