// Package private runs this program again in a network of its own.
//
// The process outside starts the program again, with the same arguments, in new
// user and network namespaces, which needs no root on Linux. The process inside
// has CAP_NET_ADMIN over a network that has nothing but a loopback. It can't
// change the machine's own network, and its network ends with it.
//
// The process outside keeps the port that clients connect to, the terminal and
// the connections to servers elsewhere. It passes signals to the process inside
// and takes its exit status; it hands its listener over, and dials servers for
// the process inside, which gets each connection as a file descriptor. Neither
// process outlives the other.
//
// Where the system refuses namespaces, the error is one sentence that names the
// remedy. The package needs no setuid helper and no capabilities on the file, and
// changes no setting of the machine.
package private
