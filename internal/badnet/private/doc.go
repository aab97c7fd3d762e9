// Package private runs this program again in a network of its own.
//
// The process outside keeps what only it can have: the port that others connect
// to, the terminal, the way to servers elsewhere. It starts itself again, with
// the same arguments, in new user and network namespaces, for which Linux asks
// no root: the process inside has CAP_NET_ADMIN over a network in which there is
// nothing but a loopback. Whatever it does there, the machine's own network
// doesn't know, and when the process ends, all of it is gone.
//
// Neither process outlives the other, however it ends. Signals go in, the exit
// status comes out. The process inside gets the files that the outside hands
// in, and asks it for connections to servers elsewhere, which it gets as file
// descriptors too.
//
// Where the system refuses, Run says so in one sentence that names the remedy.
// The package bends no rule to get there: no setuid helper, no capabilities on
// the file, no change of the machine's settings.
package private
