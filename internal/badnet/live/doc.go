// Package live is the lab's network: it chooses the driver, brings the
// backends onto it, changes it while the lab runs, and measures after each
// change whether the driver did what was asked.
//
// A network is private, where the driver shapes packets on the loopback of a
// namespace; by proxy, where there are no namespaces; or none. It refuses to run
// on a driver that did not take: then it is what it was, and the error says so.
package live
