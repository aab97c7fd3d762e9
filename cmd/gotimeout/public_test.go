package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"gotimeout/internal/load"
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

// What a PaaS sets arrives: the router's clients have a share each, and the
// database of another program is left alone.
func TestOnPaaS(t *testing.T) {
	t.Setenv("GOTIMEOUT_PUBLIC", "true")
	t.Setenv("GOTIMEOUT_TRUSTED_PROXIES", "127.0.0.0/8")
	t.Setenv("DATABASE_URL", "postgres://u:secret@db/d")
	p := start(t)
	ask := func(client string) int {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.url+"/compare?op=cpu&delay=0", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("X-Forwarded-For", client)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		_, _ = io.Copy(io.Discard, resp.Body)
		return resp.StatusCode
	}
	status := 0
	for i := 0; i < 400 && status != http.StatusTooManyRequests; i++ {
		status = ask("192.0.2.1")
	}
	if other := ask("192.0.2.2"); status != http.StatusTooManyRequests || other != http.StatusOK {
		t.Errorf("one client: %d in the end, another: %d", status, other)
	}
	if p.stop(); !strings.Contains(p.log.String(), "DATABASE_URL is ignored") || strings.Contains(p.log.String(), "secret") {
		t.Errorf("the log:\n%s", p.log)
	}
}

// The lab that a comparison starts is its own, also on a PaaS.
func TestCompareStartsItsOwn(t *testing.T) {
	for name, value := range map[string]string{asProgram: "1", "PORT": "1", "GOTIMEOUT_PUBLIC": "1"} {
		t.Setenv(name, value)
	}
	url, stop, err := startLab(t.Context(), load.Plan{})
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	var lab struct{ Public *bool }
	if program := (program{url: url}); program.get(t, "/lab", &lab) != http.StatusOK || lab.Public == nil || *lab.Public {
		t.Errorf("%+v", lab)
	}
	http.DefaultClient.CloseIdleConnections()
}
