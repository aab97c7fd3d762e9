// Package sockets reads what the kernel knows of TCP connections: the state of each end, also after its program has closed it, the
// kernel's counters of TCP, and the settings that decide how many ends stay in TIME-WAIT.
//
// It reads them by netlink's sock_diag and from /proc, without a privilege, for the network of the calling process alone. On
// systems other than Linux each function returns ErrUnsupported: no figure is guessed.
package sockets

import (
	"errors"
	"net/netip"
)

// ErrUnsupported is the error of each function on a system other than Linux.
var ErrUnsupported = errors.New("this system does not show its sockets: only Linux does")

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
	newSynReceived // a connection that is not accepted yet
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

// States is a set of states.
type States uint32

// All has every state, and Open those of RFC 9293: without sockets that are bound to a port and neither listen nor connect, for
// which the kernel goes through another table.
const (
	All  = ^States(0)
	Open = 1<<(newSynReceived+1) - 2
)

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

// Counters are the kernel's counters of TCP in this network, since the network was made.
type Counters struct {
	Opened        uint64 `json:"opened"`          // connections that a dial opened
	Accepted      uint64 `json:"accepted"`        // connections that a listener got
	Resets        uint64 `json:"resets"`          // RSTs sent
	ResetsSeen    uint64 `json:"resets_seen"`     // connections that an RST ended
	AbortOnData   uint64 `json:"abort_on_data"`   // connections reset: data came after the close
	AbortOnClose  uint64 `json:"abort_on_close"`  // connections reset: data was unread at the close
	TimeWaits     uint64 `json:"time_waits"`      // TIME-WAITs that began
	TimeWaitReuse uint64 `json:"time_wait_reuse"` // TIME-WAITs that a new connection took over
}

// Sub returns what was counted since before.
func (c Counters) Sub(before Counters) Counters {
	return Counters{
		c.Opened - before.Opened, c.Accepted - before.Accepted, c.Resets - before.Resets, c.ResetsSeen - before.ResetsSeen,
		c.AbortOnData - before.AbortOnData, c.AbortOnClose - before.AbortOnClose,
		c.TimeWaits - before.TimeWaits, c.TimeWaitReuse - before.TimeWaitReuse,
	}
}
