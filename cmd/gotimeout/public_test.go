package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// Whatever a public lab shows, the passwords of its backends are not in it,
// also where they refuse them.
func TestPublicShowsNoPasswords(t *testing.T) {
	t.Parallel()
	httpbin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, password, _ := r.BasicAuth(); password != "secret" {
			t.Error("the password didn't arrive")
		}
		http.Error(w, "no", http.StatusUnauthorized)
	}))
	defer httpbin.Close()
	down := closedPort(t)
	for name, base := range map[string]string{"refusing": strings.TrimPrefix(httpbin.URL, "http://"), "down": down} {
		t.Run(name, func(t *testing.T) {
			p := start(t, "--public", "--http-url=http://u:secret@"+base, "--cache-addr="+down, "--db-dsn=u:secret@tcp("+down+")/d")
			for _, path := range []string{
				"/context-cancel?op=http&delay=0", "/io-timeout?op=http&delay=0", "/baseline?op=db", "/io-timeout?op=all&delay=0", "/compare?op=http&delay=0",
				"/", "/backends", "/readyz", "/lab", "/sockets", "/network", "/receipts", "/nothing",
			} {
				resp, err := http.Get(p.url + path)
				if err != nil {
					t.Fatal(err)
				}
				body, err := io.ReadAll(resp.Body)
				resp.Body.Close()
				if err != nil || len(body) == 0 || strings.Contains(string(body), "secret") {
					t.Errorf("%s: %s, %v\n%s", path, resp.Status, err, body)
				}
			}
			if p.stop(); strings.Contains(p.log.String(), "secret") {
				t.Errorf("the log:\n%s", p.log)
			}
		})
	}
}
