package handlers

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"gotimeout/internal/prose"
	"gotimeout/internal/receipt"
	"gotimeout/internal/wire"
)

// answerOf makes the answer from the receipt of an answered run.
func answerOf(v receipt.View) wire.Answer {
	time := strconv.FormatFloat(*v.Answered, 'f', 0, 64) + "ms"
	path := "/receipts/" + v.ID
	return wire.Answer{
		Completed: *v.Status == receipt.Completed,
		Time:      &time, Timeout: &v.Timeout, Name: &v.Name, Slow: &v.Slow,
		Status: *v.Status, Ctx: &v.Ctx, Family: &v.Family,
		Network: v.Network, Answered: v.Answered, Overshoot: v.Overshoot,
		Error: v.Error, Receipt: &path,
	}
}

// refuse answers that nothing was run, with a code and a sentence. A browser gets
// a page.
func refuse(w http.ResponseWriter, r *http.Request, status int, code, sentence string) {
	why := &receipt.Error{Code: code, Message: sentence}
	if wantsPage(w, r) {
		writePage(w, status, "refused.html", refusedPage{status, why})
		return
	}
	writeJSON(w, r, status, wire.Answer{Status: receipt.Refused, Error: why})
}

// refusedPage is what the template of a refusal reads.
type refusedPage struct {
	Status int
	Error  *receipt.Error
}

// Title is the status in words.
func (p refusedPage) Title() string { return http.StatusText(p.Status) }

// badParameter answers 400 for a query that the lab does not accept.
func badParameter(w http.ResponseWriter, r *http.Request, err error) {
	refuse(w, r, http.StatusBadRequest, "bad_parameter", err.Error())
}

// writeJSON writes an answer, indented for curl and for browsers, which people read.
// For programs the indentation would be a twentieth of the cost of a request.
func writeJSON(w http.ResponseWriter, r *http.Request, status int, v any) {
	var body bytes.Buffer
	enc := json.NewEncoder(&body)
	enc.SetEscapeHTML(false)
	if agent := r.UserAgent(); strings.HasPrefix(agent, "curl/") || strings.HasPrefix(agent, "Mozilla/") {
		enc.SetIndent("", "  ")
	}
	if err := enc.Encode(v); err != nil {
		panic(err) // only for a type that has no JSON, which any test finds
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.Header().Set("Content-Length", strconv.Itoa(body.Len()))
	w.WriteHeader(status)
	_, _ = w.Write(body.Bytes()) // fails only when the caller has left
}

// notFound answers 404 with the list of paths.
func (l *Lab) notFound(w http.ResponseWriter, r *http.Request) {
	refuse(w, r, http.StatusNotFound, "not_found", fmt.Sprintf(
		"there is nothing at %.60s: the strategies are %s; the other paths are /compare, /race, /receipts, /events, /lab, /backends, /sockets, /network, /metrics, /healthz, /readyz and /",
		r.URL.Path, prose.Or(l.paths())))
}

func (l *Lab) paths() []string {
	paths := make([]string, len(l.Strategies))
	for i, s := range l.Strategies {
		paths[i] = "/" + s.Name
	}
	return paths
}

// wrongMethod answers 405 for a known path. All paths but /network are read-only.
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
