package handlers

import (
	"net/http"
	"time"

	"gotimeout/internal/machine"
	"gotimeout/internal/receipt"
)

// facts is what a program must know of a lab to drive it, and to judge it.
type facts struct {
	Machine    machine.Machine `json:"machine"`
	Started    time.Time       `json:"started"`
	Strategies []string        `json:"strategies"`
	Ops        []opFacts       `json:"ops"`
	Network    bool            `json:"network"` // one lies between, and can be changed
	Public     bool            `json:"public"`  // each client has a share, and only the token changes the network
	Caps       caps            `json:"caps"`
	Now        now             `json:"now"`
}

type opFacts struct {
	Name    string   `json:"name"`
	Delays  bool     `json:"delays"`             // a delay can be asked for
	NoDelay string   `json:"no_delay,omitempty"` // or why not
	Works   []string `json:"works"`              // what work= may be
}

type caps struct {
	MaxDelay     string `json:"max_delay"`
	MaxTimeout   string `json:"max_timeout"`
	MaxInFlight  int    `json:"max_in_flight"`
	MaxAbandoned int    `json:"max_abandoned"`
	Receipts     int    `json:"receipts"`
}

// now is how the lab is at the moment, and what it has used since it began.
type now struct {
	Goroutines int     `json:"goroutines"`
	CPU        float64 `json:"cpu_ms"`
	Allocated  uint64  `json:"allocated_bytes"`
	receipt.Counts
	LastReceipt string `json:"last_receipt"` // "" before the first
}

// facts answers what the lab is and has used. It may be asked often: it looks
// at nothing outside the process, and disturbs nothing in it.
func (l *Lab) facts(w http.ResponseWriter, r *http.Request) {
	limits := l.Ledger.Limits()
	f := facts{
		Machine: l.Machine, Started: l.Started.UTC(), Network: l.Network != nil, Public: l.Public,
		Caps: caps{l.MaxDelay.String(), l.MaxTimeout.String(), limits.InFlight, limits.Abandoned, l.Ledger.Size()},
	}
	for _, s := range l.Strategies {
		f.Strategies = append(f.Strategies, s.Name)
	}
	for _, op := range l.Ops {
		f.Ops = append(f.Ops, opFacts{op.Name, op.Delays(), op.NoDelay, append([]string{}, op.Works...)})
	}
	used := machine.Used()
	f.Now = now{
		used.Goroutines, float64(used.ProcessorTime.Microseconds()) / 1000, used.Allocated,
		l.Ledger.Counts(), l.Ledger.LastID(),
	}
	writeJSON(w, r, http.StatusOK, f)
}
