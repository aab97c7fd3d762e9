package main

import (
	"cmp"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"gotimeout/internal/receipt"
)

var measuredTrip = regexp.MustCompile(`round_trip_ms=600 measured_ms=(\d+)`)

// On a bad network the cache answers later.
func TestServeOnANetwork(t *testing.T) {
	t.Parallel()
	users(t, func(t *testing.T, prefix []string) {
		p, cmd := labProcess(t, prefix, "--network=delay=300ms")
		for timeout, want := range map[string]int{"200ms": http.StatusGatewayTimeout, "10s": http.StatusOK} {
			status, v := p.complete(t, "/context-cancel?op=cache&timeout="+timeout)
			if status != want {
				t.Errorf("timeout=%s: %d, %s", timeout, status, describe(v))
			}
			// The dial takes a round trip, and the get another.
			if status == http.StatusOK && *v.Answered < 1200 {
				t.Errorf("answered after %v ms, want two round trips of 600", *v.Answered)
			}
			path, _ := v.Network.(map[string]any)
			if path["profile"] != "delay=300ms" || path["round_trip_ms"] != 600. {
				t.Errorf("the receipt has the network %v", v.Network)
			}
		}
		if m := measuredTrip.FindStringSubmatch(cmd.log); m == nil || len(m[1]) < 3 || m[1] < "600" && len(m[1]) == 3 {
			t.Errorf("the log has no calibration: %s", cmd.log)
		}
	})
}

// A change is measured. It applies to open connections too, and to one backend alone if
// the request names one.
func TestNetworkChangesLive(t *testing.T) {
	t.Parallel()
	needPackets(t, nil)
	p, _ := labProcess(t, nil, "--network=none")
	status, s := p.change(t, "PUT", "/network?backend=db", "delay=300ms")
	if status != http.StatusOK || s.Profile != "none" || s.Backends["db"].Profile != "delay=300ms" {
		t.Fatalf("%d %+v", status, s)
	}
	if c := s.Backends["db"].Calibration; c == nil || c.RoundTripP50 == nil || *c.RoundTripP50 < 600 || c.Dial != nil && *c.Dial < 600 { // a late dial is left out
		t.Errorf("the calibration is %+v", c)
	}
	took := func(op string) float64 {
		_, v := p.complete(t, "/baseline?op="+op)
		return *v.Answered
	}
	fast := func(op string) { // on a busy machine once at least
		eventually(t, "op="+op+" is fast", func() bool { return took(op) < 600 })
	}
	if at := took("db"); at < 600 {
		t.Errorf("op=db took %v ms", at)
	}
	fast("http")
	fast("cache")
	if status, s = p.change(t, "PUT", "/network", "blackhole"); status != http.StatusOK || len(s.Backends) != 0 {
		t.Errorf("%d %+v", status, s)
	}
	if status, v := p.complete(t, "/context-cancel?op=db&timeout=100ms"); status != http.StatusGatewayTimeout {
		t.Errorf("through a black hole: %d, %s", status, describe(v))
	}
	if status, s = p.change(t, "DELETE", "/network", ""); status != http.StatusOK || s.Profile != "none" {
		t.Errorf("%d %+v", status, s)
	}
	fast("db") // after the reset
	if status, _ := p.change(t, "PUT", "/network?backend=dbx", "3g"); status != http.StatusBadRequest {
		t.Errorf("%d", status)
	}
}

// The lab reaches the servers outside through the process outside, over the bad network.
// The reads of the process list are not delayed.
func TestNetworkToRealServers(t *testing.T) {
	needReal(t)
	users(t, func(t *testing.T, prefix []string) {
		p, _ := labProcess(t, prefix, "--network=delay=50ms", "--cache-addr="+real.cacheAddr, "--db-dsn="+real.dbDSN)
		for _, path := range []string{"/baseline?op=cache", "/baseline?op=db", "/context-cancel?op=db&delay=300ms", "/errgroup?op=all&timeout=5s"} {
			status, v := p.complete(t, path)
			if status != http.StatusOK || *v.Answered < 200 {
				t.Errorf("%s: %d, %s", path, status, describe(v))
			}
		}
		// The end of 300 ms of computing that nobody waits for is known, and is not
		// late by a round trip for each read of the process list.
		status, v := p.complete(t, "/context-cancel?op=db&work=cpu&delay=300ms&timeout=500ms")
		if status != http.StatusGatewayTimeout && status != http.StatusOK || v.BackendEnded == nil {
			t.Errorf("%d, %s", status, describe(v))
		}
		status, _ = p.change(t, "PUT", "/network?backend=cache", "blackhole")
		if status != http.StatusOK {
			t.Errorf("%d", status)
		}
		if status, v := p.complete(t, "/io-timeout?op=cache&timeout=200ms"); status != http.StatusGatewayTimeout {
			t.Errorf("through a black hole: %d, %s", status, describe(v))
		}
	})
}

// An op whose real server is down fails, with an error that names the server.
func TestNetworkToAServerThatIsDown(t *testing.T) {
	t.Parallel()
	needPackets(t, nil)
	p, _ := labProcess(t, nil, "--network=none", "--cache-addr="+closedPort(t))
	if status, v := p.complete(t, "/baseline?op=cache"); status != http.StatusBadGateway {
		t.Errorf("%d, %s", status, describe(v))
	}
}

// ends ends a lab by a signal, and checks its exit status.
func ends(t *testing.T, cmd running) {
	t.Helper()
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("after SIGTERM: %v", err)
	}
}

// A service manager signals all processes of a service. The lab takes that as one signal:
// it finishes the request in flight, and refuses new connections.
func TestNetworkGrace(t *testing.T) {
	t.Parallel()
	needPackets(t, nil)
	p, cmd := labProcess(t, nil, "--network=none")
	inside := child(t, cmd.Process.Pid)
	answered := make(chan int, 1)
	go func() {
		resp, err := http.Get(p.url + "/baseline?delay=5s")
		if err != nil {
			t.Error(err)
			answered <- 0
			return
		}
		resp.Body.Close()
		answered <- resp.StatusCode
	}()
	p.await(t, "in flight", func(c receipt.Counts) bool { return c.InFlight == 1 })
	for _, pid := range []int{inside, cmd.Process.Pid} {
		if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
	}
	deadline := time.Now().Add(time.Minute)
	for conn, err := net.Dial("tcp", strings.TrimPrefix(p.url, "http://")); err == nil; conn, err = net.Dial("tcp", strings.TrimPrefix(p.url, "http://")) {
		conn.Close()
		if time.Now().After(deadline) {
			t.Fatal("the port still listens")
		}
		time.Sleep(10 * time.Millisecond)
	}
	if status := <-answered; status != http.StatusOK {
		t.Errorf("the request in flight has the status %d", status)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("after SIGTERM: %v", err)
	}
}

// A lab that is stopped during its calibration reports no failure.
func TestNetworkStoppedEarly(t *testing.T) {
	needPackets(t, nil)
	cmd := command(t, nil, "serve", "--addr=127.0.0.1:0", "--network=delay=400ms")
	var log lockedBuffer
	cmd.Stderr = io.MultiWriter(&log) // without the buffer's ReadFrom, so that each write locks
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(time.Minute)
	for !strings.Contains(log.String(), "name=db") && time.Now().Before(deadline) {
		time.Sleep(time.Millisecond)
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil || strings.Contains(log.String(), "did not take") {
		t.Errorf("%v: %s", err, &log)
	}
}

// However one of the two processes ends, also in the middle of a change, the
// other ends and the port is free.
func TestNetworkKilled(t *testing.T) {
	needPackets(t, nil)
	for _, victim := range []string{"outside", "inside"} {
		t.Run(victim, func(t *testing.T) {
			p, cmd := labProcess(t, nil, "--network=delay=10ms")
			inside := child(t, cmd.Process.Pid)
			go func() {
				for range 20 {
					resp, err := http.DefaultClient.Do(mustRequest("PUT", p.url+"/network", "delay=20ms"))
					if err != nil {
						return
					}
					resp.Body.Close()
				}
			}()
			time.Sleep(50 * time.Millisecond)
			pid := inside
			if victim == "outside" {
				pid = cmd.Process.Pid
			}
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			_ = cmd.Wait()
			deadline := time.Now().Add(time.Minute)
			for alive(inside) {
				if time.Now().After(deadline) {
					t.Fatalf("the process inside, %d, is still there", inside)
				}
				time.Sleep(10 * time.Millisecond)
			}
			if resp, err := http.Get(p.url + "/healthz"); err == nil {
				resp.Body.Close()
				t.Error("the port still listens")
			}
		})
	}
}

func mustRequest(method, url, body string) *http.Request {
	req, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		panic(err)
	}
	return req
}

// child returns the only child of a process.
func child(t *testing.T, pid int) int {
	t.Helper()
	all := children(pid)
	if len(all) != 1 {
		t.Fatalf("process %d has the children %v", pid, all)
	}
	only, err := strconv.Atoi(all[0])
	if err != nil {
		t.Fatal(err)
	}
	return only
}

func children(pid int) (all []string) {
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, task := range tasks {
		text, _ := os.ReadFile(task)
		all = append(all, strings.Fields(string(text))...)
	}
	return all
}

func alive(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && !strings.Contains(string(stat), ") Z ")
}

// Without namespaces the driver auto uses proxies and logs the reason. A driver that the user
// named is refused with the remedy, and so is a profile that a proxy can't make.
func TestNetworkWithoutNamespaces(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can take the namespaces away")
	}
	// The command runs without capabilities, in a user namespace that allows no other
	// namespace.
	prefix := []string{"unshare", "-U", "-r", "sh", "-c",
		`echo 0 >/proc/sys/user/max_user_namespaces && exec setpriv --bounding-set=-all --inh-caps=-all "$@"`, "sh"}
	if out, err := exec.CommandContext(t.Context(), prefix[0], append(slices.Clone(prefix[1:]), "true")...).CombinedOutput(); err != nil {
		t.Skipf("this system allows no user namespaces: %v, %s", err, out)
	}
	const remedy = "user.max_user_namespaces is 0): run it with sudo, or sudo sysctl user.max_user_namespaces=10000"

	_, cmd := labProcess(t, prefix, "--network=delay=50ms")
	defer ends(t, cmd)
	if !strings.Contains(cmd.log, remedy) || !strings.Contains(cmd.log, "msg=network driver=proxy") {
		t.Errorf("the log is %s", cmd.log)
	}
	for _, test := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"serve", "--addr=127.0.0.1:0", "--network=3g", "--network-driver=tun"}, 1, remedy},
		{[]string{"serve", "--addr=127.0.0.1:0", "--network=loss=1%"}, 1, "can't lose packets"},
		{[]string{"network", "run", "3g", "--", "true"}, 125, remedy},
	} {
		cmd := command(t, prefix, test.args...)
		out, _ := cmd.CombinedOutput()
		if cmd.ProcessState.ExitCode() != test.code || !strings.Contains(string(out), test.want) {
			t.Errorf("%v: exit status %d: %s", test.args, cmd.ProcessState.ExitCode(), out)
		}
	}
}

// The command ignores the signals that its caller ignores, as nohup does.
func TestNetworkRunKeepsIgnoredSignals(t *testing.T) {
	needPackets(t, nil)
	prefix := []string{"sh", "-c", `trap "" HUP; exec "$@"`, "sh"}
	out, err := command(t, prefix, "network", "run", "none", "--", "sh", "-c", "kill -HUP $$; echo survived").CombinedOutput()
	if err != nil || !strings.Contains(string(out), "survived") {
		t.Errorf("%v: %s", err, out)
	}
}

// A signal to the process outside ends the check inside.
func TestNetworkCheckInterrupted(t *testing.T) {
	needPackets(t, nil)
	cmd := command(t, nil, "network", "check", "delay=10s") // the check would take a minute
	var stderr strings.Builder
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the check sends packets", func() bool { return sends(cmd.Process.Pid) })
	began := time.Now()
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if _ = cmd.Wait(); cmd.ProcessState.ExitCode() != exitInterrupted || time.Since(began) > 20*time.Second ||
		stderr.String() != "gotimeout: interrupted: the network is not measured\n" {
		t.Errorf("%s after %s, %q", cmd.ProcessState, time.Since(began), &stderr)
	}
}

// sends reports whether a process has a child in a network of its own, in which packets were
// sent.
func sends(pid int) bool {
	own, _ := os.Readlink("/proc/self/ns/net")
	for _, inside := range children(pid) {
		proc := "/proc/" + inside
		network, err := os.Readlink(proc + "/ns/net")
		if err != nil || network == own {
			continue
		}
		text, _ := os.ReadFile(proc + "/net/dev")
		for line := range strings.Lines(string(text)) {
			if _, counts, ok := strings.Cut(line, ":"); ok && strings.Fields(counts)[9] != "0" {
				return true
			}
		}
	}
	return false
}

// A query that is on its way when its caller gives up works on in the database. The
// process list is first read before the query arrives.
func TestQueryInFlightAtTheCut(t *testing.T) {
	needReal(t)
	needPackets(t, nil)
	p, _ := labProcess(t, nil, "--network=delay=500ms", "--db-dsn="+real.dbDSN)
	var v receipt.View
	for try := 0; try < 3 && (v.Connections.Reused != 1 || v.Waste == nil); try++ { // the pool keeps the connection for a second
		p.get(t, "/baseline?op=db&delay=0", new(any))
		_, v = p.complete(t, "/context-cancel?op=db&delay=4s&timeout=400ms")
	}
	if v.Connections.Reused != 1 || v.Waste == nil || *v.Waste < 3000 {
		t.Errorf("%s, waste %v ms: the database worked on for 4 s", describe(v), *cmp.Or(v.Waste, new(float64)))
	}

	// The answer of a query that runs to its end is on its way for 500 ms. The database has
	// ended before that, exact to two reads of the process list.
	for _, path := range []string{"/baseline?op=db&delay=500ms", "/goroutine-abandon?op=db&delay=2s&timeout=1s"} {
		missed := func() bool {
			return v.Ended == nil || v.BackendEnded == nil || *v.BackendEnded < 500 || *v.Ended-*v.BackendEnded < 200
		}
		_, v = p.complete(t, path)
		for try := 1; try < 3 && missed(); try++ { // a pause of the machine shows both ends at once
			_, v = p.complete(t, path)
		}
		if missed() {
			t.Errorf("%s: %s, backend ended after %v ms, the answer came after %v", path, describe(v), *cmp.Or(v.BackendEnded, new(float64)), *cmp.Or(v.Ended, new(float64)))
		}
	}
}
