// Package wire has the JSON types between a lab and the programs that drive it: the bodies
// of GET /lab, /receipts, /network and /sockets, and the answer to a run. Package handlers
// writes them, and package load reads them.
//
// Types of other packages that are already in the form of the JSON, such as receipt.View
// and badnet.State, are not declared again.
package wire

import (
	"slices"
	"time"

	"gotimeout/internal/badnet"
	"gotimeout/internal/machine"
	"gotimeout/internal/receipt"
)

// Ctxs are the values of the parameter ctx: whether an op honours its context. The
// first one is the default.
func Ctxs() []string { return []string{"aware", "deaf"} }

// Lab is the body of GET /lab: the lab's settings and its state.
type Lab struct {
	Machine    machine.Machine   `json:"machine"`
	Started    time.Time         `json:"started"`
	Strategies []string          `json:"strategies"`
	Families   map[string]string `json:"families"`  // the family of each strategy
	Unbounded  []string          `json:"unbounded"` // the strategies that ignore the timeout

	Only Only `json:"only"`

	Ops     []Op `json:"ops"`
	Network bool `json:"network"` // the network can be changed
	Public  bool `json:"public"`  // each client has a share of the runs, and only the token changes the network
	Caps    Caps `json:"caps"`
	Now     Now  `json:"now"`
}

// Only has the ops of each strategy that doesn't suit all.
type Only map[string][]string

// Suits reports whether a strategy makes sense for an op.
func (o Only) Suits(strategy, op string) bool {
	ops, some := o[strategy]
	return !some || slices.Contains(ops, op)
}

// Op is an op of a lab.
type Op struct {
	Name    string   `json:"name"`
	Delays  bool     `json:"delays"`             // a delay can be asked for
	NoDelay string   `json:"no_delay,omitempty"` // why a delay can't be asked for
	Works   []string `json:"works"`              // the values of work=
	Choices []Choice `json:"choices"`            // the parameters that only some ops have, such as work
	Backend string   `json:"backend,omitempty"`  // the backend's name in a sentence, such as "the database"; "" is none
	Calls   int      `json:"calls"`              // how many calls a run makes, at once
	Settle  float64  `json:"settle_ms"`          // how long its client may keep an idle connection
	Own     *OwnCall `json:"own,omitempty"`      // the own call that the op makes

	// Settings names what bounds a call, as a user of the client or of its backend sets
	// it, by the family of the strategies that do the same in the lab.
	Settings map[string]string `json:"settings,omitempty"`
}

// Choice is a parameter of a run with its values, the default first.
type Choice struct {
	Name   string   `json:"name"`
	Values []string `json:"values"`
}

// OwnCall is a call of the lab's user.
type OwnCall struct {
	Name  string   `json:"name"`
	Alone *float64 `json:"alone_ms"` // how long the call takes alone; null is not known
}

// JobEnd is what a worker writes at the end of a job.
type JobEnd struct {
	Receipt *receipt.View  `json:"receipt,omitempty"` // of the run, complete
	Error   *receipt.Error `json:"error,omitempty"`   // why there was no run
}

// Caps are the bounds of a lab.
type Caps struct {
	MaxDelay     string `json:"max_delay"`
	MaxTimeout   string `json:"max_timeout"`
	MaxInFlight  int    `json:"max_in_flight"`
	MaxAbandoned int    `json:"max_abandoned"`
	Receipts     int    `json:"receipts"` // how many receipts the lab keeps

	MaxDescriptors int `json:"max_descriptors,omitempty"` // of the runs; 0 is no bound
	MaxConnections int `json:"max_connections,omitempty"` // of the clients; 0 is no bound

	Patience string `json:"patience"` // how long a client must wait to get every answer
}

// Now is the state of a lab, and the resources that its process has used since its start.
type Now struct {
	Goroutines int     `json:"goroutines"`
	CPU        float64 `json:"cpu_ms"`
	Allocated  uint64  `json:"allocated_bytes"`
	receipt.Counts
	LastReceipt string `json:"last_receipt"` // "" before the first receipt
}

// Sockets are the sockets of a lab's connections to its backends, as the kernel lists them.
type Sockets struct {
	Backends []BackendSockets  `json:"backends"`
	Counters any               `json:"counters"` // counters of the kernel, since the lab's start
	Settings map[string]string `json:"settings"` // settings of the kernel that affect the numbers
}

// BackendSockets counts the connections to a backend by their state, at the client's end,
// and at the server's end if that is in the same network.
type BackendSockets struct {
	Name   string         `json:"name"`
	Addr   string         `json:"addr"` // the address that the client dials
	Client map[string]int `json:"client"`
	Server map[string]int `json:"server"`
}

// SocketsAnswer is the body of GET /sockets.
type SocketsAnswer struct {
	Sockets *Sockets `json:"sockets"`         // null if the system can't list them
	Error   string   `json:"error,omitempty"` // why the system can't
}

// Receipts is the body of GET /receipts.
type Receipts struct {
	Receipts []receipt.View `json:"receipts"`
}

// Network is the body of an answer about the network.
type Network struct {
	*badnet.State
	Change  *string         `json:"change_refused"` // why this caller may not change the network; null if it may
	Presets []badnet.Preset `json:"presets"`
}

// Answer is the body of the answer to a run. For a refused run the keys that it has no
// value for are null.
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
	Job       *string        `json:"job,omitempty"` // its path, if a queue has the run
	Receipt   *string        `json:"receipt"`       // its path
}

// Outcome is the part of an Answer that a load generator reads for each request. A whole
// Answer takes twice as long to decode.
type Outcome struct {
	Status  receipt.Status `json:"status"`
	Error   *receipt.Error `json:"error"`
	Receipt *string        `json:"receipt"`
}
