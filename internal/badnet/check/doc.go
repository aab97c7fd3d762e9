// Package check measures all that a profile asks for, and puts the figures beside
// the profile's: times, losses, duplicates, order and rates, in each direction.
//
// It judges only the network. Where this machine could not send or receive fast
// enough, the figure is shown with that reason and not judged.
package check
