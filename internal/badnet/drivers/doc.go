// Package drivers has the list of the drivers, and opens one of them.
//
// A Loopback is a bad network for any program in a private network. The programs on it
// can change its profile. The lab's own network, with a profile for each backend, is in
// package live.
package drivers
