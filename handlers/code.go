package handlers

import (
	"cmp"
	"io"
	"net/http"
	"slices"

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
	code, err := samples.Of(strategy, op)
	if err != nil {
		refuse(w, r, http.StatusNotFound, "no_code", "op: "+err.Error())
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = io.WriteString(w, code)
}
