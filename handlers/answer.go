package handlers

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"gotimeout/internal/badnet"
	"gotimeout/internal/prose"
	"gotimeout/internal/receipt"
	"gotimeout/internal/wire"
)

// writeAnswer writes the answer to a run.
func writeAnswer(w http.ResponseWriter, r *http.Request, a receipt.Answer) {
	body, _ := bodies.Get().(*[]byte)
	if body == nil {
		body = new([]byte)
	}
	*body = appendAnswer((*body)[:0], a)
	write(w, r, httpStatus[a.Status], *body)
	bodies.Put(body)
}

var bodies sync.Pool // of *[]byte, the buffers of written answers

// appendAnswer appends the JSON of a wire.Answer. It runs for every request, and
// encoding/json would take four times as long.
func appendAnswer(b []byte, a receipt.Answer) []byte {
	ms := receipt.Milliseconds(a.Answered)
	b = append(b, `{"completed":`...)
	b = strconv.AppendBool(b, a.Status == receipt.Completed)
	b = append(b, `,"time":"`...)
	b = strconv.AppendFloat(b, ms, 'f', 0, 64)
	b = appendText(b, `ms","timeout":`, a.Timeout.String())
	b = appendText(b, `,"name":`, a.Name)
	b = appendText(b, `,"slow":`, a.Slow)
	b = appendText(b, `,"status":`, string(a.Status))
	b = appendText(b, `,"ctx":`, a.Ctx)
	b = appendText(b, `,"family":`, a.Family)
	b = appendJSON(append(b, `,"network":`...), a.Network)
	b = append(b, `,"answered_ms":`...)
	b = strconv.AppendFloat(b, ms, 'f', -1, 64)
	b = append(b, `,"overshoot_ms":`...)
	if a.Overshoot.Known {
		b = strconv.AppendFloat(b, receipt.Milliseconds(a.Overshoot.Time), 'f', -1, 64)
	} else {
		b = append(b, "null"...)
	}
	b = append(b, `,"error":`...)
	if a.Error == nil {
		b = append(b, "null"...)
	} else {
		b = appendText(b, `{"code":`, a.Error.Code)
		b = appendText(b, `,"message":`, a.Error.Message)
		b = append(b, '}')
	}
	if a.Status == receipt.Accepted {
		b = append(append(append(b, `,"job":"/jobs/`...), a.ID...), '"')
	}
	b = append(b, `,"receipt":"/receipts/`...)
	b = append(b, a.ID...) // letters, digits and a dash
	return append(b, "\"}\n"...)
}

// appendText appends a name and the JSON of a text.
func appendText(b []byte, name, text string) []byte {
	b = append(b, name...)
	for _, c := range []byte(text) {
		if c < ' ' || c > '~' {
			return appendJSON(b, text)
		}
	}
	return strconv.AppendQuote(b, text) // the same as JSON for printable ASCII
}

func appendJSON(b []byte, v any) []byte {
	if path, ok := v.(*badnet.Path); v == nil || ok && path == nil {
		return append(b, "null"...)
	}
	return append(b, bytes.TrimSuffix(encoded(v), []byte("\n"))...)
}

// encoded returns the JSON of a value, with a newline.
func encoded(v any) []byte {
	var body bytes.Buffer
	enc := json.NewEncoder(&body)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		panic(err) // only for a type that has no JSON, which any test finds
	}
	return body.Bytes()
}

// refuse answers a request that started no run, with a code and a sentence, which may quote
// the request. A browser gets a page.
func refuse(w http.ResponseWriter, r *http.Request, status int, code, sentence string) {
	why := &receipt.Error{Code: code, Message: prose.Line(sentence)}
	if wantsPage(w, r) {
		writePage(w, status, "refused.html", refusedPage{status, why})
		return
	}
	writeJSON(w, r, status, wire.Answer{Status: receipt.Refused, Error: why})
}

// refusedPage is the data for the template of a refusal.
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

func writeJSON(w http.ResponseWriter, r *http.Request, status int, v any) {
	write(w, r, status, encoded(v))
}

// The values of headers, which net/http doesn't change.
var (
	noStore  = []string{"no-store"}
	noSniff  = []string{"nosniff"}
	jsonType = []string{"application/json; charset=utf-8"}
)

// write writes JSON. It is indented for people, who use curl or a browser. For programs
// the indentation would be a twentieth of the cost of a request.
func write(w http.ResponseWriter, r *http.Request, status int, body []byte) {
	if forPeople(r) {
		body = indented(body, "")
	}
	w.Header()["Content-Type"] = jsonType
	w.Header()["Content-Length"] = []string{strconv.Itoa(len(body))}
	w.WriteHeader(status)
	_, _ = w.Write(body) // fails only when the caller has left
}

// forPeople reports whether curl or a browser asks.
func forPeople(r *http.Request) bool {
	agent := r.UserAgent()
	return strings.HasPrefix(agent, "curl/") || strings.HasPrefix(agent, "Mozilla/")
}

func indented(body []byte, prefix string) []byte {
	var b bytes.Buffer
	_ = json.Indent(&b, body, prefix, "  ") // fails only where body is no JSON
	return b.Bytes()
}

// notFound answers 404 with the list of paths.
func (l *Lab) notFound(w http.ResponseWriter, r *http.Request) {
	refuse(w, r, http.StatusNotFound, "not_found", fmt.Sprintf(
		"there is nothing at %.60s: the strategies are %s; the other paths are /compare, /race, /receipts, /jobs/ID, /events, /code/STRATEGY, /docs/PAGE, /lab, /backends, /sockets, /network, /network/log, /network/graph, /metrics, /healthz, /readyz and /",
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
