// Package drivers has the list of the drivers, and opens one of them.
//
// A Loopback is a bad network for any program in a private network. It does not
// change while the program runs: the lab's own network, which does, is in package
// live.
package drivers
