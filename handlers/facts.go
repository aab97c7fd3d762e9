package handlers

import (
	"net/http"
	"time"

	"gotimeout/internal/machine"
	"gotimeout/internal/wire"
)

// facts answers what the lab is and has used. It may be asked often: it looks
// at nothing outside the process, and disturbs nothing in it.
func (l *Lab) facts(w http.ResponseWriter, r *http.Request) {
	limits := l.Ledger.Limits()
	f := wire.Lab{
		Machine: l.Machine, Started: l.Started.UTC(), Network: l.Network != nil, Public: l.Public,
		Families: map[string]string{}, Unbounded: []string{},
		Caps: wire.Caps{
			MaxDelay: l.MaxDelay.String(), MaxTimeout: l.MaxTimeout.String(),
			MaxInFlight: limits.InFlight, MaxAbandoned: limits.Abandoned, Receipts: l.Ledger.Size(),
		},
	}
	for _, s := range l.Strategies {
		f.Strategies = append(f.Strategies, s.Name)
		f.Families[s.Name] = string(s.Family)
		if s.Unbounded {
			f.Unbounded = append(f.Unbounded, s.Name)
		}
	}
	for _, op := range l.Ops {
		f.Ops = append(f.Ops, wire.Op{
			Name: op.Name, Delays: op.Delays(), NoDelay: op.NoDelay, Works: append([]string{}, op.Works...),
			Backend: op.Noun, Calls: len(op.Parts), Settle: milliseconds(op.Settle),
		})
	}
	used := machine.Used()
	f.Now = wire.Now{
		Goroutines: used.Goroutines, CPU: milliseconds(used.ProcessorTime), Allocated: used.Allocated,
		Counts: l.Ledger.Counts(), LastReceipt: l.Ledger.LastID(),
	}
	writeJSON(w, r, http.StatusOK, f)
}

// milliseconds is d as the JSON has it, to the microsecond.
func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
