// Package wire holds what a lab and a program that drives it say to each other
// as JSON: the bodies of GET /lab, /receipts, /network and /sockets, and the
// answer to a run. Package handlers writes them, package load reads them.
//
// A type that another package has as it is on the wire, as receipt.View and
// badnet.State, is used as it is. The package has no behaviour.
package wire

import (
	"time"

	"gotimeout/internal/badnet"
	"gotimeout/internal/machine"
	"gotimeout/internal/receipt"
)

// Ctxs are the values of the parameter ctx: whether an op honours its context. The
// first one is the default.
func Ctxs() []string { return []string{"aware", "deaf"} }

// Lab is what a lab says about itself: the body of GET /lab.
type Lab struct {
	Machine    machine.Machine   `json:"machine"`
	Started    time.Time         `json:"started"`
	Strategies []string          `json:"strategies"`
	Families   map[string]string `json:"families"`  // of each strategy
	Unbounded  []string          `json:"unbounded"` // the strategies that ignore the timeout
	Ops        []Op              `json:"ops"`
	Network    bool              `json:"network"` // the network can be changed
	Public     bool              `json:"public"`  // each client has a share of the runs, and only the token changes the network
	Caps       Caps              `json:"caps"`
	Now        Now               `json:"now"`
}

// Op is an op of a lab.
type Op struct {
	Name    string   `json:"name"`
	Delays  bool     `json:"delays"`             // a delay can be asked for
	NoDelay string   `json:"no_delay,omitempty"` // or why not
	Works   []string `json:"works"`              // what work= may be
	Backend string   `json:"backend,omitempty"`  // the backend's name in a sentence, as "the database"; "" where there is none
	Calls   int      `json:"calls"`              // how many calls a run makes, at once
	Settle  float64  `json:"settle_ms"`          // how long its client may keep an idle connection
	Own     *OwnCall `json:"own,omitempty"`      // what the op calls, where that is an own call
}

// OwnCall is a call of whoever started the lab.
type OwnCall struct {
	Name  string   `json:"name"`
	Alone *float64 `json:"alone_ms"` // what the call takes while nothing else goes on; null is not known
}

// Caps are the bounds of a lab.
type Caps struct {
	MaxDelay     string `json:"max_delay"`
	MaxTimeout   string `json:"max_timeout"`
	MaxInFlight  int    `json:"max_in_flight"`
	MaxAbandoned int    `json:"max_abandoned"`
	Receipts     int    `json:"receipts"` // that the lab keeps
	Patience     string `json:"patience"` // how long a client must wait who wants every answer
}

// Now is the state of a lab, and what its process has used since it began.
type Now struct {
	Goroutines int     `json:"goroutines"`
	CPU        float64 `json:"cpu_ms"`
	Allocated  uint64  `json:"allocated_bytes"`
	receipt.Counts
	LastReceipt string `json:"last_receipt"` // "" before the first
}

// Sockets is what the kernel keeps of a lab's connections to its backends.
type Sockets struct {
	Backends []BackendSockets  `json:"backends"`
	Counters any               `json:"counters"` // of the kernel, since the lab began
	Settings map[string]string `json:"settings"` // of the kernel, which the numbers depend on
}

// BackendSockets are the connections to a backend: how many in each state at the
// client's end, and at the server's where it is in the same network.
type BackendSockets struct {
	Name   string         `json:"name"`
	Addr   string         `json:"addr"` // that the client dials
	Client map[string]int `json:"client"`
	Server map[string]int `json:"server"`
}

// SocketsAnswer is the body of GET /sockets.
type SocketsAnswer struct {
	Sockets *Sockets `json:"sockets"`         // null where the system doesn't show them
	Error   string   `json:"error,omitempty"` // why it doesn't
}

// Receipts is the body of GET /receipts.
type Receipts struct {
	Receipts []receipt.View `json:"receipts"`
}

// Network is the body of an answer about the network.
type Network struct {
	*badnet.State
	Change  *string         `json:"change_refused"` // why this caller may not change the network, null where it may
	Presets []badnet.Preset `json:"presets"`
}

// Answer is the body of each answer to a run, run or refused. What a refused run
// has not is null.
type Answer struct {
	Completed bool           `json:"completed"`
	Time      *string        `json:"time"`
	Timeout   *string        `json:"timeout"`
	Name      *string        `json:"name"`
	Slow      *string        `json:"slow"`
	Status    receipt.Status `json:"status"`
	Ctx       *string        `json:"ctx"`
	Family    *string        `json:"family"`
	Network   any            `json:"network"`
	Answered  *float64       `json:"answered_ms"`
	Overshoot *float64       `json:"overshoot_ms"`
	Error     *receipt.Error `json:"error"`
	Receipt   *string        `json:"receipt"` // its path
}

// Outcome is the part of an Answer that a load generator reads of each request: a
// whole Answer takes twice as long to decode.
type Outcome struct {
	Status  receipt.Status `json:"status"`
	Error   *receipt.Error `json:"error"`
	Receipt *string        `json:"receipt"`
}
