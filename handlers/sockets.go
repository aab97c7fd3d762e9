package handlers

import (
	"net/http"
	"net/netip"

	"gotimeout/internal/wire"
)

// Kernel asks the kernel about the lab's connections.
type Kernel interface {
	// Sockets returns those to the backends of these names.
	Sockets(backends []string) (*wire.Sockets, error)
	// Known tells whether this end of a connection still is one, in any state.
	Known(local, remote netip.AddrPort) (bool, error)
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
