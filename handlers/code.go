package handlers

import (
	"cmp"
	"fmt"
	"io"
	"net/http"
	"slices"

	"gotimeout/internal/prose"
	"gotimeout/internal/samples"

	"github.com/go-chi/chi/v5"
)

// code answers with the Go code of a strategy with an op.
func (l *Lab) code(w http.ResponseWriter, r *http.Request) {
	strategy, op := chi.URLParam(r, "strategy"), cmp.Or(r.URL.Query().Get("op"), l.Ops[0].Name)
	if !slices.Contains(l.paths(), "/"+strategy) {
		l.notFound(w, r)
		return
	}
	ops := samples.Ops(strategy)
	if !slices.Contains(ops, op) {
		refuse(w, r, http.StatusNotFound, "no_code", fmt.Sprintf("op: %s", prose.Unknown("code of "+strategy+" for", op, ops)))
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = io.WriteString(w, samples.Of(strategy, op))
}
