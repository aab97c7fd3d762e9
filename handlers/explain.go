package handlers

import (
	"net/http"

	"gotimeout/docs"
	"gotimeout/internal/receipt"

	"github.com/go-chi/chi/v5"
)

// docs answers with the text of a page of the docs.
func (l *Lab) docs(w http.ResponseWriter, r *http.Request) {
	text, err := docs.Pages.ReadFile(chi.URLParam(r, "page"))
	if err != nil {
		l.notFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = w.Write(text) // fails only after the caller has left
}

// docsOf names the page of the docs that explains the code of a run's error.
func docsOf(code string) string {
	switch code {
	case "timed_out":
		return "strategies.md"
	case "op_failed", "op_panicked", "caller_gone", "over_caps", "answer_lost":
		return "http-api.md"
	}
	return "client-timeouts.md" // a code of a client
}

// purposes returns the purpose of each phase of a run. The drivers of cache and db report
// only dials, writes and reads, and the purpose follows from the order of their protocol.
func purposes(v receipt.View, own bool) []string {
	var inDB []int // the phases of db
	all := make([]string, len(v.Phases))
	for i, ph := range v.Phases {
		if (v.Slow == "db" || ph.Op == "db") && ph.Name != PhaseStart {
			inDB = append(inDB, i)
			continue
		}
		all[i] = phasePurpose[ph.Name]
	}
	names := make([]string, len(inDB))
	for i, at := range inDB {
		names[i] = v.Phases[at].Name
	}
	for i, purpose := range mysqlPurposes(names, own) {
		all[inDB[i]] = purpose
	}
	return all
}

// phasePurpose has the purpose of each phase of the ops other than db.
var phasePurpose = map[string]string{
	"dns": "the look-up of the server's name", "connect": "the TCP connection", "tls": "the TLS handshake", "request": "the request",
	"first_byte": "the wait for the first byte of the answer", "headers": "the headers of the answer", "body": "the body of the answer",
	"login": "the login", "query": "the query", "result": "its result", "cancel request": "a request to end the query, on a connection of its own",
	"dial": "the TCP connection", "write": "the command", "read": "its result",
	PhaseStart: "the start of the process that makes the call",
}

// mysqlPurposes returns the purposes of the phases of a MySQL call. On a new connection the
// server greets, the client logs in and the server answers. The last write is the query, and
// an earlier write belongs to a longer login. An own call may make two statements.
func mysqlPurposes(phases []string, own bool) []string {
	greeting := []struct{ phase, purpose string }{{"read", "the greeting of the server"}, {"write", "the login"}, {"read", "the answer to the login"}}
	all := make([]string, len(phases))
	query := -1 // the last write after the login
	for i, step := 0, len(greeting); i < len(phases); i++ {
		switch {
		case phases[i] == "dial":
			all[i], step, query = phasePurpose["dial"], 0, -1
		case step < len(greeting) && phases[i] == greeting[step].phase:
			all[i] = greeting[step].purpose
			step++
		case phases[i] == "write":
			query = i
		}
	}
	for i := range phases {
		switch {
		case all[i] != "":
		case own && phases[i] == "write":
			all[i] = "a statement"
		case own || query >= 0 && i > query:
			all[i] = "the result"
		case i == query:
			all[i] = "the query"
		default:
			all[i] = "more of the login"
		}
	}
	return all
}
