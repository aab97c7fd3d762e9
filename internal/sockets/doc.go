// Package sockets shows what the kernel keeps of TCP connections: which state
// each is in, also after its program has let go of it, and what the kernel has
// counted.
//
// It asks by netlink's sock_diag, which knows the sockets of the calling
// process's network alone, and needs no privilege. On other systems everything
// is ErrUnsupported: nothing is guessed.
package sockets

import (
	"errors"
	"net/netip"
)

// ErrUnsupported is the error where the system doesn't tell.
var ErrUnsupported = errors.New("this system doesn't show its sockets: it takes Linux")

// State is a state of TCP, by its name in RFC 9293 ("TIME-WAIT").
type State uint8

// The states, with the kernel's numbers.
const (
	Established State = 1 + iota
	SynSent
	SynReceived
	FinWait1
	FinWait2
	TimeWait
	Closed
	CloseWait
	LastAck
	Listen
	Closing
	newSynReceived // the kernel's: a connection that is not accepted yet
)

var names = [...]string{
	Established: "ESTABLISHED", SynSent: "SYN-SENT", SynReceived: "SYN-RECEIVED", FinWait1: "FIN-WAIT-1",
	FinWait2: "FIN-WAIT-2", TimeWait: "TIME-WAIT", Closed: "CLOSED", CloseWait: "CLOSE-WAIT", LastAck: "LAST-ACK",
	Listen: "LISTEN", Closing: "CLOSING", newSynReceived: "SYN-RECEIVED",
}

func (s State) String() string {
	if int(s) < len(names) && names[s] != "" {
		return names[s]
	}
	return "UNKNOWN"
}

// States are a set of them.
type States uint32

// All is every state, and In that of the given ones.
const All = ^States(0)

// In returns the set of the states.
func In(states ...State) (set States) {
	for _, s := range states {
		set |= 1 << s
	}
	return set
}

// Socket is one end of a connection.
type Socket struct {
	State         State
	Local, Remote netip.AddrPort
}
