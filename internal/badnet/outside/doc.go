// Package outside carries connections from a private network to the network
// outside.
//
// The process outside dials, and hands each connection to the process inside as a
// file descriptor (package private). A Relay joins such connections with those to
// an address of the private network, for one server outside.
package outside
