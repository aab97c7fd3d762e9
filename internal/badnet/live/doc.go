// Package live is the lab's network, which changes while the lab runs. It attaches
// the backends to a driver, and measures after each change whether the driver does
// what the profile asks for.
//
// A network is private, where a driver shapes packets on the loopback of a
// namespace, or by proxy, where there are no namespaces. A change that the
// calibration refutes is undone and is an error.
package live
