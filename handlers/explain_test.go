package handlers_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"gotimeout/handlers"
)

// The page that explains the code of an error has the code.
func TestDocsOfCodes(t *testing.T) {
	lab := newLab(roomy)
	for page, codes := range map[string][]string{
		"strategies.md":      {"timed_out"},
		"http-api.md":        {"op_failed", "op_panicked", "caller_gone", "over_caps", "answer_lost"},
		"client-timeouts.md": {"connect_timeout", "tls_timeout", "header_timeout", "read_timeout", "total_timeout", "connection_refused", "connection_reset", "dns_error", "unexpected_eof", "wrong_answer"},
	} {
		w := get(t, lab, "/docs/"+page)
		checkStatus(t, w, http.StatusOK)
		for _, code := range codes {
			if handlers.DocsOf(code) != page || !strings.Contains(w.Body.String(), code) {
				t.Errorf("%s: %s", code, handlers.DocsOf(code))
			}
		}
	}
	for _, path := range []string{"/docs/nothing.md", "/docs/docs.go", "/docs/..%2Fgo.mod", "/docs/"} {
		checkStatus(t, get(t, lab, path), http.StatusNotFound)
	}
}

// The purpose of each phase of a MySQL call follows from the order of the phases.
func TestMySQLPurposes(t *testing.T) {
	for name, test := range map[string]struct {
		phases string
		own    bool
		want   []string
	}{
		"a new connection":      {"dial read write read write read", false, []string{"the TCP connection", "the greeting of the server", "the login", "the answer to the login", "the query", "the result"}},
		"a pooled connection":   {"write read", false, []string{"the query", "the result"}},
		"cut in the dial":       {"dial", false, []string{"the TCP connection"}},
		"cut in the greeting":   {"dial read", false, []string{"the TCP connection", "the greeting of the server"}},
		"a longer login":        {"dial read write read write read write read", false, []string{"the TCP connection", "the greeting of the server", "the login", "the answer to the login", "more of the login", "more of the login", "the query", "the result"}},
		"an own call":           {"dial read write read write read write read", true, []string{"the TCP connection", "the greeting of the server", "the login", "the answer to the login", "a statement", "the result", "a statement", "the result"}},
		"the second connection": {"dial read dial read write", false, []string{"the TCP connection", "the greeting of the server", "the TCP connection", "the greeting of the server", "the login"}},
		"nothing":               {"", false, nil},
	} {
		t.Run(name, func(t *testing.T) {
			if got := handlers.MySQLPurposes(strings.Fields(test.phases), test.own); !slices.Equal(got, test.want) {
				t.Errorf("%q, not %q", got, test.want)
			}
		})
	}
}
