package main

import (
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"gotimeout/internal/load"
	"gotimeout/internal/machine"
	"gotimeout/internal/receipt"
)

func TestServesEmbedded(t *testing.T) {
	p := start(t)
	for _, op := range append(dialing, "cpu", "all") {
		status, v := p.complete(t, "/context-cancel?delay=0&op="+op)
		if status != http.StatusOK || *v.Status != receipt.Completed || v.Slow != op {
			t.Errorf("op=%s: %d, %s", op, status, describe(v))
		}
	}
	var ready struct {
		Ready    bool
		Backends []struct {
			Name     string
			Embedded bool
		}
	}
	if status := p.get(t, "/readyz", &ready); status != http.StatusOK || !ready.Ready || len(ready.Backends) != len(dialing) {
		t.Errorf("/readyz: %d %+v", status, ready)
	}
	if code := p.stop(); code != 0 {
		t.Errorf("exit code %d: %s", code, p.log)
	}
	for _, op := range dialing {
		if want := "name=" + op + " embedded=true"; !strings.Contains(p.log.String(), want) {
			t.Errorf("the log lacks %q:\n%s", want, p.log)
		}
	}
}

// A lab starts also while its servers are down. /readyz names these servers, and their ops
// answer 502.
func TestServersDown(t *testing.T) {
	down := closedPort(t)
	p := start(t, "--http-url=http://"+down, "--cache-addr="+down, "--db-dsn=mysql://u:secret@"+down+"/lab", "--postgres-url=postgres://u:secret@"+down+"/lab", "--redis-url=redis://u:secret@"+down, "--grpc-target="+down)
	var ready struct {
		Ready    bool
		Backends []struct{ Name, Error string }
	}
	if status := p.get(t, "/readyz", &ready); status != http.StatusServiceUnavailable || ready.Ready {
		t.Errorf("/readyz: %d %+v", status, ready)
	}
	for _, b := range ready.Backends {
		if !strings.Contains(b.Error, "refused") {
			t.Errorf("/readyz has for %s: %q", b.Name, b.Error)
		}
	}
	for _, op := range append(dialing, "db&work=cpu", "all") {
		for _, strategy := range []string{"context-cancel", "goroutine-abandon", "io-timeout"} {
			status, v := p.complete(t, "/"+strategy+"?timeout=10s&op="+op)
			code := "op_failed"
			if strategy == "io-timeout" && op != "db&work=cpu" { // the speed of a database that is down can't be calibrated
				code = "connection_refused"
			}
			if status != http.StatusBadGateway || v.Error == nil || v.Error.Code != code || v.BackendEnded != nil {
				t.Errorf("%s op=%s: %d, %s", strategy, op, status, describe(v))
			}
		}
	}
	if strings.Contains(p.log.String(), "secret") {
		t.Errorf("the password is in the log:\n%s", p.log)
	}
}

// closedPort returns an address where nobody can listen until the test ends: it is the near end of a connection.
func closedPort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	held, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { held.Close() })
	return held.LocalAddr().String()
}

// freeAddr returns an address of a host where nobody listens yet.
func freeAddr(t *testing.T, host string) string {
	t.Helper()
	l, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// After a signal the lab finishes the request in flight and refuses new connections.
func TestGrace(t *testing.T) {
	t.Parallel()
	p := start(t)
	answered := make(chan int, 1)
	go func() {
		resp, err := http.Get(p.url + "/baseline?delay=4s")
		if err != nil {
			t.Error(err)
			answered <- 0
			return
		}
		resp.Body.Close()
		answered <- resp.StatusCode
	}()
	p.await(t, "in flight", func(c receipt.Counts) bool { return c.InFlight == 1 })
	if code := p.stop(); code != 0 {
		t.Errorf("exit code %d: %s", code, p.log)
	}
	if status := <-answered; status != http.StatusOK {
		t.Errorf("the request in flight has the status %d", status)
	}
	if _, err := net.Dial("tcp", strings.TrimPrefix(p.url, "http://")); err == nil {
		t.Error("the port still listens")
	}
}

// await polls /backends until the counts are as wanted.
func (p program) await(t *testing.T, what string, wanted func(receipt.Counts) bool) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for time.Now().Before(deadline) {
		var backends struct{ Counts receipt.Counts }
		p.get(t, "/backends", &backends)
		if wanted(backends.Counts) {
			return
		}
	}
	t.Fatalf("never %s", what)
}

// Past --max-abandoned the lab refuses runs until the work has ended.
func TestMaxAbandoned(t *testing.T) {
	t.Parallel()
	p := start(t, "--max-abandoned=2")
	var first receipt.View
	for range 2 {
		var answer struct{ Receipt string }
		p.get(t, "/goroutine-abandon?delay=5s&timeout=10ms", &answer)
		p.get(t, answer.Receipt, &first)
	}
	resp, err := http.Get(p.url + "/baseline?delay=0")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") == "" {
		t.Errorf("%s, Retry-After %q", resp.Status, resp.Header.Get("Retry-After"))
	}
	p.await(t, "nothing left behind", func(c receipt.Counts) bool { return c.Abandoned == 0 })
	if status := p.get(t, "/baseline?delay=0", new(any)); status != http.StatusOK {
		t.Errorf("afterwards: %d", status)
	}
}

// A cancelled call closes its connection, and the next call dials a new one. A cancelled call of
// gRPC leaves the connection to the next call.
func TestConnectionsOfARun(t *testing.T) {
	t.Parallel()
	p := start(t)
	for _, path := range []string{"/context-cancel?delay=4s&timeout=1s&op=grpc", "/baseline?delay=0&op=grpc"} {
		var v receipt.View
		for try := 0; try < 3 && v.Connections.Reused == 0; try++ { // the pool keeps the connection for a second
			p.get(t, "/baseline?delay=0&op=grpc", new(any))
			_, v = p.complete(t, path)
		}
		if v.Connections != (receipt.Connections{Reused: 1, Kept: 1}) {
			t.Errorf("%s: connections %+v, want one for all calls", path, v.Connections)
		}
	}
	for _, op := range []string{"http", "cache", "db"} {
		var v receipt.View
		for try := 0; try < 3 && v.Connections.Reused == 0; try++ {
			p.get(t, "/baseline?delay=0&op="+op, new(any))
			_, v = p.complete(t, "/context-cancel?delay=4s&timeout=1s&op="+op)
		}
		if v.Connections.Reused != 1 || v.Connections.Dialed != 0 || v.Connections.Closed != 1 {
			t.Errorf("op=%s, cancelled: connections %+v, want the pooled one closed", op, v.Connections)
		}
		if _, v := p.complete(t, "/baseline?delay=0&op="+op); v.Connections != (receipt.Connections{Dialed: 1, Kept: 1}) {
			t.Errorf("op=%s after a cancelled call: connections %+v, want a new one", op, v.Connections)
		}
	}
}

func TestReadsTheSystemsReason(t *testing.T) {
	err := errors.New("bare")
	if reason(err) != err {
		t.Error("reason changed an error without a system error in it")
	}
}

// /lab has the settings that the lab was started with.
func TestLabFacts(t *testing.T) {
	t.Parallel()
	p := start(t, "--max-timeout=7s", "--receipts=33")
	_, v := p.complete(t, "/baseline?delay=0")
	var lab struct {
		Machine    machine.Machine
		Started    time.Time
		Strategies []string
		Caps       struct {
			MaxTimeout string `json:"max_timeout"`
			Receipts   int
		}
		Now struct {
			LastReceipt string `json:"last_receipt"`
		}
	}
	if status := p.get(t, "/lab", &lab); status != http.StatusOK || lab.Machine.Go != runtime.Version() ||
		time.Since(lab.Started).Abs() > time.Minute || lab.Strategies[0] != "baseline" || lab.Caps.MaxTimeout != "7s" || lab.Caps.Receipts != 33 || lab.Now.LastReceipt != v.ID {
		t.Errorf("%d %+v; the last receipt is %s", status, lab, v.ID)
	}
}

// The proxy driver needs no rights. It delays data and not the dial, and refuses a profile
// that it can't make.
func TestNetworkByProxy(t *testing.T) {
	t.Parallel()
	p := start(t, "--network=delay=50ms", "--network-driver=proxy")
	for _, op := range dialing {
		status, v := p.complete(t, "/context-cancel?timeout=4s&op="+op)
		if status != http.StatusOK || *v.Answered < 100 {
			t.Errorf("op=%s: %d, %s", op, status, describe(v))
		}
	}
	if status, v := p.complete(t, "/context-cancel?timeout=50ms&op=cache"); status != http.StatusGatewayTimeout {
		t.Errorf("%d, %s", status, describe(v))
	}
	status, s := p.change(t, "PUT", "/network", "loss=1%")
	if status != http.StatusBadRequest {
		t.Errorf("a proxy loses packets: %d %+v", status, s)
	}
	eventually(t, "a round trip is delayed, and a dial is not", func() bool { // the dial is one, which a busy machine delays
		status, s = p.change(t, "PUT", "/network?backend=db", "delay=100ms")
		c := s.Backends["db"].Calibration
		return c != nil && c.RoundTripP50 != nil && *c.RoundTripP50 >= 200 && c.Dial != nil && *c.Dial < 200
	})
	if status != http.StatusOK || s.Profile != "delay=50ms" {
		t.Errorf("%d %+v", status, s)
	}
	if _, v := p.complete(t, "/baseline?op=db"); *v.Answered < 200 {
		t.Errorf("%v ms with a round trip of 200 ms", *v.Answered)
	}
}

// No answer of a public lab has a password of its backends, also where a backend refuses
// the password.
func TestPublicShowsNoPasswords(t *testing.T) {
	t.Parallel()
	httpbin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, password, _ := r.BasicAuth(); password != "secret" {
			t.Error("the backend did not get the password")
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

// The lab uses the variables of a PaaS: each client of the router has a share of its own.
// The lab ignores the database of another program.
func TestOnPaaS(t *testing.T) {
	t.Setenv("GOTIMEOUT_PUBLIC", "true")
	t.Setenv("GOTIMEOUT_TRUSTED_PROXIES", "127.0.0.0/8")
	t.Setenv("DATABASE_URL", "mssql://u:secret@db/d")
	p := start(t)
	ask := func(client string) int {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.url+"/baseline?op=cpu&delay=0", nil)
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
	for i := 0; i < 3000 && status != http.StatusTooManyRequests; i++ {
		status = ask("192.0.2.1")
	}
	if other := ask("192.0.2.2"); status != http.StatusTooManyRequests || other != http.StatusOK {
		t.Errorf("the last status of one client is %d, and another client's is %d", status, other)
	}
	if p.stop(); !strings.Contains(p.log.String(), "DATABASE_URL is ignored") || strings.Contains(p.log.String(), "secret") {
		t.Errorf("the log:\n%s", p.log)
	}
}

// The lab that a comparison starts is not public, also on a PaaS.
func TestCompareStartsItsOwn(t *testing.T) {
	for name, value := range map[string]string{asProgram: "1", "PORT": "1", "GOTIMEOUT_PUBLIC": "1"} {
		t.Setenv(name, value)
	}
	url, stop, err := startLab(t.Context(), load.Plan{}, nil)
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

// A lab on this machine answers requests for its addresses and names, and for those of
// --host. A public lab answers for every name, unless --host is given.
func TestHosts(t *testing.T) {
	t.Parallel()
	machine, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		args []string
		want map[string]int
	}{
		"local":           {nil, map[string]int{machine: 200, "localhost": 200, "127.0.0.1": 200, "lab.example": 421}},
		"named":           {[]string{"--host=lab.example"}, map[string]int{"lab.example": 200, "evil.example": 421}},
		"public":          {[]string{"--public"}, map[string]int{"lab.example": 200}},
		"public, by name": {[]string{"--public", "--host=lab.example"}, map[string]int{"lab.example": 200, "evil.example": 421}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := start(t, tc.args...)
			for host, want := range tc.want {
				r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.url+"/receipts", nil)
				if err != nil {
					t.Fatal(err)
				}
				r.Host = host
				answer, err := http.DefaultClient.Do(r)
				if err != nil {
					t.Fatal(err)
				}
				answer.Body.Close()
				if answer.StatusCode != want {
					t.Errorf("Host %s has the status %d, want %d", host, answer.StatusCode, want)
				}
			}
		})
	}
}
