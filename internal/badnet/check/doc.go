// Package check measures all that a profile asks for, and puts it beside what was
// asked: times, losses, copies, order and rates, each way.
//
// It judges the network alone. What this machine could not send or receive fast
// enough is shown with the reason, and not judged.
package check
