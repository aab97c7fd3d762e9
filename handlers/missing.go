package handlers

import (
	"fmt"
	"net/http"

	"gotimeout/internal/prose"
)

// notFound answers with the list of what there is.
func (l *Lab) notFound(w http.ResponseWriter, r *http.Request) {
	refuse(w, r, http.StatusNotFound, "not_found", fmt.Sprintf(
		"there is nothing at %.60s: the strategies are %s; and there are /compare, /race, /receipts, /events, /lab, /backends, /sockets, /network, /metrics, /healthz, /readyz and /",
		r.URL.Path, prose.Or(l.paths())))
}

func (l *Lab) paths() []string {
	paths := make([]string, len(l.Strategies))
	for i, s := range l.Strategies {
		paths[i] = "/" + s.Name
	}
	return paths
}

// wrongMethod answers for a path that is there. All but the network is only to
// be read.
func wrongMethod(w http.ResponseWriter, r *http.Request) {
	allow, use := "GET, HEAD, OPTIONS", "GET"
	if r.URL.Path == "/network" {
		allow, use = "GET, HEAD, PUT, DELETE, OPTIONS", "GET, PUT or DELETE"
	}
	w.Header().Set("Allow", allow)
	if r.Method == http.MethodOptions {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	refuse(w, r, http.StatusMethodNotAllowed, "wrong_method", fmt.Sprintf("%.20s is not allowed here: use %s", r.Method, use))
}
