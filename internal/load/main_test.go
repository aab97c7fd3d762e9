package load_test

import (
	"flag"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"gotimeout/internal/load"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// labOf serves a lab for the test.
func labOf(t *testing.T, serve http.HandlerFunc) *load.Lab {
	t.Helper()
	server := httptest.NewServer(serve)
	t.Cleanup(server.Close)
	lab, err := load.OpenLab(server.URL+"/", "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(lab.Close)
	return lab
}

// atURL is a server of its own for the benchmarks, as scripts/bench has one.
var atURL = flag.String("url", "", "URL of the server that the benchmarks send to; one in this process if empty")

// noop is a server that does nothing, in the words of a lab.
func noop(tb testing.TB) *load.Lab {
	tb.Helper()
	url := *atURL
	if url == "" {
		url = noopHere(tb)
	}
	lab, err := load.OpenLab(url, "")
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(lab.Close)
	return lab
}

func noopHere(tb testing.TB) string {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"status":"completed","receipt":"/receipts/x-1","error":null}`)
	}))
	tb.Cleanup(server.Close)
	return server.URL
}
