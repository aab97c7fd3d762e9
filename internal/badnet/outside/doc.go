// Package outside carries connections from a private network to the network
// outside.
//
// The process outside dials, and hands each connection to the process inside as a
// file descriptor (package private). A Relay joins such connections with those to
// an address of the private network, for one server outside. A Stack does so for
// every address that isn't the loopback's: the packets that the tun driver releases
// end in a TCP/IP stack of this process (gvisor.dev/gvisor), which needs no root and
// nothing installed, where pasta and slirp4netns must be.
package outside

import "errors"

var errNoTUN = errors.New("only the tun driver leads outside: leave --driver out, or use --driver tun")
