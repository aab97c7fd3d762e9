package handlers

import (
	"io"
	"net/http"
	"net/netip"
	"runtime"
	"time"

	"gotimeout/internal/machine"
	"gotimeout/internal/wire"
)

// describe answers /lab: the lab's settings, and the resources that its process has used. It
// is cheap, because it reads nothing outside the process.
func (l *Lab) describe(w http.ResponseWriter, r *http.Request) {
	limits := l.Ledger.Limits()
	f := wire.Lab{
		Machine: l.Machine, Started: l.Started.UTC(), Network: l.Network != nil, Public: l.Public,
		Families: map[string]string{}, Unbounded: []string{}, Only: wire.Only{},
		Caps: wire.Caps{
			MaxDelay: l.MaxDelay.String(), MaxTimeout: l.MaxTimeout.String(),
			MaxInFlight: limits.InFlight, MaxAbandoned: limits.Abandoned, Receipts: l.Ledger.Size(),
			MaxDescriptors: limits.Descriptors, MaxConnections: l.MaxConnections,
			Patience: l.Bounds().Patience.String(),
		},
	}
	for _, s := range l.Strategies {
		f.Strategies = append(f.Strategies, s.Name)
		f.Families[s.Name] = string(s.Family)
		if s.Only != nil {
			f.Only[s.Name] = s.Only
		}
		if s.Unbounded {
			f.Unbounded = append(f.Unbounded, s.Name)
		}
	}
	for _, op := range l.Ops {
		of := wire.Op{
			Name: op.Name, Delays: op.Delays(), NoDelay: op.NoDelay, Works: append([]string{}, op.Works...),
			Choices: op.withDefaults(), Backend: op.Noun, Calls: len(op.Parts), Settle: milliseconds(op.Settle),
		}
		if len(op.Settings) > 0 {
			of.Settings = make(map[string]string, len(op.Settings))
		}
		for family, setting := range op.Settings {
			of.Settings[string(family)] = setting
		}
		if op.Own != nil {
			of.Own = &wire.OwnCall{Name: op.Own.Name, Alone: op.Own.alone()}
		}
		f.Ops = append(f.Ops, of)
	}
	used := machine.Used()
	f.Now = wire.Now{
		Goroutines: used.Goroutines, CPU: milliseconds(used.ProcessorTime), Allocated: used.Allocated,
		Counts: l.Ledger.Counts(), LastReceipt: l.Ledger.LastID(),
	}
	writeJSON(w, r, http.StatusOK, f)
}

// withDefaults returns the parameters that only some ops have and that have a default, which
// target= has not.
func (op *Op) withDefaults() (all []wire.Choice) {
	for _, c := range op.choices() {
		if len(c.Values) > 0 && c.Name != "target" {
			all = append(all, wire.Choice{Name: c.Name, Values: c.Values})
		}
	}
	return all
}

// milliseconds returns d in milliseconds for the JSON, exact to the microsecond.
func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// Health is the health of a backend.
type Health struct {
	Name     string `json:"name"`
	Embedded bool   `json:"embedded"`
	Addr     string `json:"addr"`
	User     string `json:"user,omitempty"` // of the stand-in, where it has one; it needs no password
	Ready    bool   `json:"ready"`
	Error    string `json:"error,omitempty"`
}

// Backend is a backend and the jobs that it works on.
type Backend struct {
	Health
	Working []Job `json:"working"` // null if unknown
}

// Job is one call that a backend works on.
type Job struct {
	Receipt string    `json:"receipt,omitempty"`
	Work    string    `json:"work"`
	Began   time.Time `json:"began"`
}

// healthz answers as long as the process serves.
func healthz(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = io.WriteString(w, "ok\n")
}

// readyz answers 503 if a backend does not answer, or the queue can't store a run, and names it.
func (l *Lab) readyz(w http.ResponseWriter, r *http.Request) {
	status, health := http.StatusOK, []Health{}
	for _, b := range l.Backends(r.Context()) {
		health = append(health, b.Health)
		if !b.Ready {
			status = http.StatusServiceUnavailable
		}
	}
	if l.Queue != nil {
		if queue, used := l.Queue.Health(); used {
			health = append(health, queue)
			if !queue.Ready {
				status = http.StatusServiceUnavailable
			}
		}
	}
	writeJSON(w, r, status, map[string]any{"ready": status == http.StatusOK, "backends": health})
}

// backends answers with the jobs of each backend and the counts of the lab.
func (l *Lab) backends(w http.ResponseWriter, r *http.Request) {
	writeJSON(w, r, http.StatusOK, map[string]any{
		"counts": l.Ledger.Counts(), "goroutines": runtime.NumGoroutine(), "backends": l.Backends(r.Context()),
	})
}

// Kernel asks the kernel about the lab's connections.
type Kernel interface {
	// Sockets returns the connections to the backends of these names.
	Sockets(backends []string) (*wire.Sockets, error)
	// Known reports whether the kernel still has this end of a connection, in any
	// state.
	Known(local, remote netip.AddrPort) (bool, error)
}

// sockets answers with the connections to all backends, or to the backends of op=.
// They are null if the system does not show them.
func (l *Lab) sockets(w http.ResponseWriter, r *http.Request) {
	q, err := query(r.URL.RawQuery, "op")
	if err != nil {
		badParameter(w, r, err)
		return
	}
	var names []string
	for _, op := range l.Ops {
		if len(op.Parts) == 1 && op.Dials {
			names = append(names, op.Name)
		}
	}
	if _, given := q["op"]; given {
		op, err := l.op(q)
		if err != nil {
			badParameter(w, r, err)
			return
		}
		if !op.Dials {
			names = nil
		} else if len(op.Parts) == 1 {
			names = []string{op.Name}
		}
	}
	var answer wire.SocketsAnswer
	if l.Kernel != nil {
		s, err := l.Kernel.Sockets(names)
		if err != nil {
			answer.Error = err.Error()
		} else {
			answer.Sockets = s
		}
	}
	writeJSON(w, r, http.StatusOK, answer)
}
