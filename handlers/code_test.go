package handlers_test

import (
	"net/http"
	"strings"
	"testing"

	"gotimeout/internal/samples"
)

// The code of a strategy is plain text. Where a strategy has no code for an op, the
// error names the ops that it has code for.
func TestCode(t *testing.T) {
	lab := newLab(roomy)
	code := func(strategy, op string) string {
		text, err := samples.Of(strategy, op)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	for path, want := range map[string]struct {
		status int
		text   string
	}{
		"/code/context-cancel?op=db": {http.StatusOK, code("context-cancel", "db")},
		"/code/errgroup":             {http.StatusOK, code("errgroup", "http")},
		"/code/io-timeout?op=cpu":    {http.StatusNotFound, `there is no code of io-timeout for \"cpu\": use cache, db, grpc, http, postgres or redis`},
		"/code/errgroup?ctx=deaf":    {http.StatusBadRequest, "ctx"},
		"/code/nonesuch":             {http.StatusNotFound, "there is nothing at /code/nonesuch"},
	} {
		w := serve(lab, request(t.Context(), http.MethodGet, path))
		if w.Code != want.status || !strings.Contains(w.Body.String(), want.text) {
			t.Errorf("%s: %d, no %q in %s", path, w.Code, want.text, w.Body)
		}
	}
}
