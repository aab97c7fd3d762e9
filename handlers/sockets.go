package handlers

import (
	"net/http"
	"net/netip"
)

// Kernel asks the kernel about the lab's connections.
type Kernel interface {
	// Sockets returns those to the backends of these names.
	Sockets(backends []string) (*Sockets, error)
	// Known tells whether this end of a connection still is one, in any state.
	Known(local, remote netip.AddrPort) (bool, error)
}

// Sockets is what the kernel keeps of the lab's connections.
type Sockets struct {
	Backends []BackendSockets  `json:"backends"`
	Counters any               `json:"counters"` // of the kernel, since the lab began
	Settings map[string]string `json:"settings"` // of the kernel, which the numbers depend on
}

// BackendSockets are the connections to a backend: how many in each state at the
// client's end, and at the server's where it is in the same network.
type BackendSockets struct {
	Name   string         `json:"name"`
	Addr   string         `json:"addr"` // that is dialled
	Client map[string]int `json:"client"`
	Server map[string]int `json:"server"`
}

// sockets answers with the connections to the backends, or to those of an op.
// Where the system doesn't show them, it is null.
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
	answer := map[string]any{"sockets": nil}
	if l.Kernel != nil {
		s, err := l.Kernel.Sockets(names)
		if err != nil {
			answer["error"] = err.Error()
		} else {
			answer["sockets"] = s
		}
	}
	writeJSON(w, r, http.StatusOK, answer)
}
