package lab_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"gotimeout/internal/backends/backendtest"
	"gotimeout/internal/lab"
	"gotimeout/internal/receipt"
	"gotimeout/internal/wire"
	"gotimeout/slowops"

	"github.com/prometheus/procfs"
)

// openRoomy opens a lab with long caps until the test ends.
func openRoomy(t *testing.T, ops []lab.Op) *lab.Lab {
	t.Helper()
	with := settings
	with.Ops, with.MaxDelay, with.MaxTimeout, with.MaxInFlight, with.MaxAbandoned, with.Receipts = ops, time.Minute, time.Minute, 100, 100, 100
	if err := read(with.Ops); err != nil {
		t.Fatal(err)
	}
	l, err := lab.Open(t.Context(), with, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	return l
}

// finish runs a path, and returns the complete receipt.
func finish(t *testing.T, l *lab.Lab, path string) receipt.View {
	t.Helper()
	w := httptest.NewRecorder()
	l.Routes().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil))
	var answer wire.Answer // the last receipt may be that of a worker's run
	if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil || answer.Receipt == nil {
		t.Fatalf("GET %s: %d without a receipt: %s", path, w.Code, w.Body)
	}
	rc := l.Ledger.Get(strings.TrimPrefix(*answer.Receipt, "/receipts/"))
	rc.Wait(t.Context())
	return rc.View()
}

// A run in a child has the figures of a run in this process: the outcome, the phases and
// connections, and the end of the backend, which is the parent's.
func TestChild(t *testing.T) {
	l := openRoomy(t, nil)
	for path, want := range map[string]string{
		"op=http&delay=0":                "completed dialed 1 closed 1 backend true",
		"op=cache&delay=1ms":             "completed dialed 1 closed 1 backend true",
		"op=db&delay=1ms":                "completed dialed 1 closed 1 backend true",
		"op=db&delay=1ms&work=cpu":       "completed dialed 1 closed 1 backend true",
		"op=cpu&delay=1ms":               "completed dialed 0 closed 0 backend false",
		"op=all&delay=1ms":               "completed dialed 5 closed 5 backend true",
		"op=redis&delay=1ms":             "completed dialed 1 closed 1 backend true",
		"op=redis&delay=1ms&deadline=on": "completed dialed 1 closed 1 backend true",
		"op=grpc&delay=1ms":              "completed dialed 1 closed 1 backend true",
		"op=grpc&delay=0&target=proxy":   "completed dialed 1 closed 1 backend true",
		"op=http&delay=0&target=ok-h2":   "completed dialed 1 closed 1 backend true",
		"op=http&delay=0&target=refused": "failed op_failed dialed 1 closed 0 backend false",
	} {
		v := finish(t, l, "/subprocess-kill?timeout=50s&"+path)
		got := string(*v.Status)
		if v.Error != nil {
			got += " " + v.Error.Code
		}
		got += fmt.Sprintf(" dialed %d closed %d backend %t", v.Connections.Dialed, v.Connections.Closed, v.BackendEnded != nil)
		if got != want || v.Goroutines != 0 || v.Phases[0].Name != "start" || v.Phases[0].Failed {
			t.Errorf("%s: %s, want %s; %+v, %+v", path, got, want, v.Phases, v.Error)
		}
		for _, ph := range v.Phases {
			if ph.Took == nil {
				t.Errorf("%s: the phase %s of a dead process goes on", path, ph.Name)
			}
		}
	}
}

// A run that leaves the process, or the request, is timed from its request, as its client sees by a clock
// of its own: the start of a child is within the run. What the machine does between the two clocks may
// disturb a try, but not each one.
func TestClientsClock(t *testing.T) {
	const start = time.Second
	t.Setenv(childStart, start.String())
	l := openRoomy(t, nil)
	server := httptest.NewServer(l.Routes())
	defer server.Close()
	for path, want := range map[string]struct {
		status  int
		atLeast time.Duration
	}{
		"/subprocess-kill?op=http&delay=0&timeout=50s":      {http.StatusOK, start},
		"/subprocess-kill?op=http&delay=50s&timeout=1500ms": {http.StatusGatewayTimeout, 1500 * time.Millisecond},
		"/offload?op=http&delay=0&timeout=50s":              {http.StatusAccepted, 0},
	} {
		backendtest.Eventually(t, path+" is answered when the client sees it", func() bool {
			began := time.Now()
			answer, err := server.Client().Get(server.URL + path)
			took := time.Since(began)
			if err != nil {
				t.Fatal(err)
			}
			defer answer.Body.Close()
			var a wire.Answer
			if err := json.NewDecoder(answer.Body).Decode(&a); err != nil || answer.StatusCode != want.status || a.Answered == nil {
				t.Fatalf("GET %s: %d, want %d: %v, %+v", path, answer.StatusCode, want.status, err, a)
			}
			outside := receipt.Milliseconds(took)
			if *a.Answered > outside || *a.Answered < receipt.Milliseconds(want.atLeast) {
				t.Errorf("GET %s: answered after %v ms, as the client sees after %v ms", path, *a.Answered, outside)
			}
			return outside-*a.Answered < 25
		})
	}
}

// A child that is killed at its start has made no call.
func TestChildKilledAtItsStart(t *testing.T) {
	t.Setenv(childStart, "1m")
	l := openRoomy(t, nil)
	v := finish(t, l, "/subprocess-kill?op=http&delay=0&timeout=100ms")
	if *v.Status != receipt.TimedOut || *v.Answered < 100 || v.BackendEnded != nil || len(v.Phases) != 1 || !v.Phases[0].Failed || v.Connections.Dialed != 0 {
		t.Errorf("%s: %+v", *v.Status, v)
	}
	backendtest.Eventually(t, "no child is left", func() bool { return children(t) == 0 })
}

// A child makes an own call with all of the call's settings, and its errors quote no secret.
func TestChildOwn(t *testing.T) {
	asked := make(chan string, 2)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked <- r.Method + " " + r.URL.Path + " " + r.Header.Get("X-Key")
		w.WriteHeader(http.StatusTeapot)
	}))
	defer server.Close()
	for expect, want := range map[string]receipt.Status{"418": receipt.Completed, "2xx": receipt.Failed} {
		l := openRoomy(t, opsOf(t, "--http-request="+server.URL+"/report?key="+planted, "--http-method=DELETE", "--http-header=X-Key: "+planted, "--http-expect="+expect))
		v := finish(t, l, "/subprocess-kill?op=http&timeout=50s")
		if got := <-asked; got != "DELETE /report "+planted || *v.Status != want {
			t.Errorf("%s, %s, want %s: %+v", got, *v.Status, want, v.Error)
		}
		if v.Error != nil && (!strings.Contains(v.Error.Message, "418") || strings.Contains(v.Error.Message, planted)) {
			t.Errorf("%+v", v.Error)
		}
	}
}

// A child is killed at the timeout whatever it does, with the programs that it has started,
// and no process is left of it.
func TestChildKilled(t *testing.T) {
	dir := t.TempDir()
	script := filepath.Join(dir, "script")
	pids := filepath.Join(dir, "pids")
	if err := os.WriteFile(script, []byte("sleep 3000 & echo $! >>"+pids+"; echo $$ >>"+pids+"; wait\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	l := openRoomy(t, opsOf(t, "--command=sh "+script))
	v := finish(t, l, "/subprocess-kill?op=cpu&ctx=deaf&delay=50s&timeout=200ms")
	if *v.Status != receipt.TimedOut || *v.Ended > 40_000 {
		t.Errorf("a computation: %s after %v ms", *v.Status, *v.Ended)
	}
	ctx, leave := context.WithCancel(t.Context()) // the caller's leave kills as the timeout does, and needs no time
	defer leave()
	over := make(chan bool)
	go func() {
		defer close(over)
		l.Routes().ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(ctx, http.MethodGet, "/subprocess-kill?op=command&ctx=deaf&timeout=50s", nil))
	}()
	backendtest.Eventually(t, "the command runs", func() bool { text, _ := os.ReadFile(pids); return strings.Count(string(text), "\n") == 2 })
	leave()
	<-over
	for _, pid := range strings.Fields(text(t, pids)) {
		backendtest.Eventually(t, "the process "+pid+" of the command has ended", func() bool { return !runs(pid) })
	}
	backendtest.Eventually(t, "no child is left", func() bool { return children(t) == 0 })
}

// No child is left after many runs, of which some end by themselves and others are killed, at once.
func TestChildrenLeft(t *testing.T) {
	runs := 16
	if os.Getenv("GOTIMEOUT_SLOW") != "" {
		runs = 1000
	}
	l := openRoomy(t, nil)
	var killed, completed int
	var count sync.Mutex
	var all sync.WaitGroup
	slots := make(chan bool, 4)
	for n := range runs {
		slots <- true
		all.Go(func() {
			defer func() { <-slots }()
			path := fmt.Sprintf("/subprocess-kill?op=%s&ctx=deaf&timeout=500ms&delay=%s", []string{"http", "cpu", "db", "cache"}[n%4], []string{"0", "50s"}[n/4%2])
			w := httptest.NewRecorder()
			l.Routes().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil))
			count.Lock()
			defer count.Unlock()
			switch w.Code {
			case http.StatusOK:
				completed++
			case http.StatusGatewayTimeout:
				killed++
			default:
				t.Errorf("GET %s: %d: %s", path, w.Code, w.Body)
			}
		})
	}
	all.Wait()
	if left := children(t); left != 0 {
		t.Errorf("%d children are left after %d runs", left, runs)
	}
	t.Logf("%d runs in children: %d completed, %d were killed, 0 are left", runs, completed, killed)
	if killed < runs/2 {
		t.Errorf("%d of %d runs were killed", killed, runs)
	}
}

// text returns the content of a file.
func text(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// children counts the children of this process, with those that have ended and that nobody has
// waited for.
func children(t *testing.T) (n int) {
	t.Helper()
	all, err := procfs.AllProcs()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range all {
		if stat, err := p.Stat(); err == nil && stat.PPID == os.Getpid() {
			n++
		}
	}
	return n
}

// runs reports whether a process runs.
func runs(pid string) bool {
	stat, err := os.ReadFile("/proc/" + pid + "/stat")
	return err == nil && !strings.Contains(string(stat), ") Z ")
}

// A lab that closes ends the programs that its calls have left, and what these have started.
func TestCloseEndsPrograms(t *testing.T) {
	pids := filepath.Join(t.TempDir(), "pids")
	for _, path := range []string{"/goroutine-abandon?op=command&ctx=deaf&timeout=100ms", "/goroutine-abandon?op=command&timeout=100ms"} {
		var log strings.Builder
		l := open(t, settings, &log, "--shell", "--command=sleep 300 & echo $! $$ >"+pids+"; wait")
		if status, answer := ask(l, path); status != http.StatusGatewayTimeout {
			t.Fatalf("%d %s", status, answer)
		}
		var started []byte
		backendtest.Eventually(t, "the program runs", func() bool {
			started, _ = os.ReadFile(pids)
			return len(started) > 0
		})
		l.Close()
		for _, pid := range strings.Fields(string(started)) {
			backendtest.Eventually(t, "process "+pid+" has ended", func() bool { return !runs(pid) })
		}
		if err := os.Remove(pids); err != nil {
			t.Fatal(err)
		}
	}
}

// Whatever a child says, each phase and each dial ends once, and each connection of a child that was cut is closed.
func FuzzFollow(f *testing.F) {
	for _, notes := range []string{
		"", `{"is":"phased"}{"is":"phase","phase":1,"op":"http","text":"connect"}{"is":"dialed"}{"is":"phased","phase":1}{"is":"done"}`,
		`{"is":"phase","phase":1}{"is":"phase","phase":1}{"is":"outlived","text":"a remedy"}`, `{"is":"phased","phase":7}{"is":"phased"}{"is":"phased"}`,
		`{"is":"closed","Local":"127.0.0.1:1"}{"is":"dialed"}`, `{"is":"done","text":"late","code":"io_timeout","matches":[0,2,99,-1]}`, "panic: x", `{"is":"kept"}{`,
	} {
		f.Add(notes)
	}
	f.Fuzz(func(t *testing.T, notes string) {
		phases, dials, opened := 0, 0, 0
		err := lab.Follow(slowops.Observer{
			Dialed: func() { opened++ }, Reused: func() { opened++ }, Kept: func() {},
			Closed: func(string, netip.AddrPort, netip.AddrPort) { opened-- },
			Phase: func(string, string) func(error) {
				phases++
				return func(error) { phases-- }
			},
			Outlived: func(string) func() { dials++; return func() { dials-- } },
		}, strings.NewReader(notes))
		if phases != 0 || dials != 0 {
			t.Errorf("%q: %d phases and %d dials have no end", notes, phases, dials)
		}
		if err != nil && err.Error() == "the child ended without an answer" && opened > 0 {
			t.Errorf("%q: %d connections of a process that has ended are open", notes, opened)
		}
		if errors.Is(err, io.EOF) || err != nil && err.Error() == "" {
			t.Errorf("%q: %v", notes, err)
		}
	})
}

// Whatever a child is ordered, it has all ops or an error.
func FuzzOrder(f *testing.F) {
	for _, order := range []string{
		"", "{}", `{"Ops":[null,{},{}]}`, `{"Ops":[{"HTTPRequest":"http://127.0.0.1:1/x?y","HTTPMethod":"PUT","HTTPHeader":["A: b"],"HTTPExpect":"2xx"}]}`,
		`{"Ops":[{"HTTPURL":"http://[::1"},7]}`, `{"Ops":[null,{"CacheAddr":"127.0.0.1:11211","CacheKey":"a b"}]}`,
		`{"Ops":[null,null,{"DBDSN":"a:b@tcp(c)/d","DBQuery":"SELECT 1"},{"PostgresURL":"postgres://x"},{"RedisURL":"redis://x","RedisCommand":"GET 'k"}]}`,
		`{"Ops":[{},{},{},{},{},{"GRPCTarget":"x:1","GRPCMethod":"a.b/c","GRPCBody":"{}"},{},{"Command":"echo 'a' \\"}]}`,
		`{"Ops":[{},{},{},{},{},{},{},{},{}]}`, `{"Query":"op=http","StandIns":[{"Extra":{}}],"MaxDelay":1}`,
	} {
		f.Add(order)
	}
	f.Fuzz(func(t *testing.T, order string) {
		if ops, err := lab.OpsOfOrder(order); (len(ops) == len(lab.Ops())) == (err != nil) {
			t.Errorf("%q: %d ops, %v", order, len(ops), err)
		}
	})
}
