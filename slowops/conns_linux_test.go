package slowops_test

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"gotimeout/slowops"

	"go.uber.org/goleak"
)

// The table has a row for each timeout of each client and a column for each target.
// The timeout is short and nothing else bounds the call. A cell names the phase that
// was cut; - is a call that went on.
//
//go:embed testdata/timeouts.txt
var clientsText string

// The durations are those of testdata/timeouts.py.
const (
	clientBound  = time.Second
	clientGoesOn = 2500 * time.Millisecond
	clientDelay  = 4 * time.Second
)

// clientsTable returns the cells by "timeout\ttarget", without the cells that are ?: no
// call measures them.
func clientsTable(t *testing.T, ofPython bool) map[string]string {
	t.Helper()
	cells := map[string]string{}
	lines := strings.Split(strings.TrimSpace(clientsText), "\n")
	targets := strings.Fields(lines[0])[1:]
	for _, line := range lines[1:] {
		name, rest := strings.TrimSpace(line[:32]), strings.Fields(line[32:])
		if len(rest) != len(targets) {
			t.Fatalf("a row has %d columns: %s", len(rest), line)
		}
		for i, what := range rest {
			python := strings.HasPrefix(name, "http.client") || strings.HasPrefix(name, "urllib3") || strings.HasPrefix(name, "requests")
			if python == ofPython && what != "?" {
				cells[name+"\t"+targets[i]] = what
			}
		}
	}
	return cells
}

func compareCells(t *testing.T, got, want map[string]string) {
	t.Helper()
	for key, what := range want {
		if got[key] != what {
			t.Errorf("%s: %q, want %q", key, got[key], what)
		}
	}
	for key := range got {
		if _, ok := want[key]; !ok {
			t.Errorf("the table has no cell for %s, where %q was measured", key, got[key])
		}
	}
}

var clientTargets = []string{"blackhole", "slow-tls", "silent", "slow-headers", "drip", "stall"}

func TestTimeoutsOfPython(t *testing.T) {
	t.Parallel()
	if err := exec.Command("python3", "-c", "import requests, urllib3").Run(); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("CI must run this against Python's clients, and they are not installed: %v", err)
		}
		t.Skip("there is no python3 with urllib3 and requests (python3-urllib3, python3-requests)")
	}
	op := targets(t)
	args := []string{"testdata/timeouts.py"}
	for _, name := range clientTargets {
		args = append(args, fmt.Sprintf("%s=%s/delay/%v", name, op.Targets[name], clientDelay.Seconds()))
	}
	want := clientsTable(t, true)
	for range 2 { // a pause of the machine looks like a slow server
		if got := ofPython(t, args); maps.Equal(got, want) {
			return
		}
	}
	compareCells(t, ofPython(t, args), want)
}

func ofPython(t *testing.T, args []string) map[string]string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "python3", args...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, line := range strings.Split(strings.TrimSpace(string(out)), "\n") {
		at := strings.LastIndexByte(line, '\t')
		got[line[:at]] = line[at+1:]
	}
	return got
}

func TestTimeoutsOfGo(t *testing.T) {
	t.Parallel()
	op, want := targets(t), clientsTable(t, false)
	got := timeoutsOfGo(t, op)
	for try := 1; try < 3 && !maps.Equal(got, want); try++ { // a pause of the machine looks like a slow server
		got = timeoutsOfGo(t, op)
	}
	compareCells(t, got, want)
}

func timeoutsOfGo(t *testing.T, op *slowops.HTTP) map[string]string {
	t.Helper()
	got, mu, all := map[string]string{}, sync.Mutex{}, sync.WaitGroup{}
	ask := func(name, target string, do doFunc, c slowops.Call) {
		all.Go(func() {
			what := cutOrNot(t.Context(), do, c)
			mu.Lock()
			defer mu.Unlock()
			got[name+"\t"+target] = what
		})
	}
	for name, c := range map[string]slowops.Call{
		"net.Dialer.Timeout":              {ConnectTimeout: clientBound},
		"Transport.TLSHandshakeTimeout":   {TLSTimeout: clientBound},
		"Transport.ResponseHeaderTimeout": {HeaderTimeout: clientBound},
		"net.Conn.SetReadDeadline":        {ReadTimeout: clientBound},
		"http.Client.Timeout":             {IOTimeout: clientBound},
	} {
		for _, target := range clientTargets {
			c.Target, c.Delay = target, clientDelay
			ask(name, target, op.Do, c)
		}
	}
	for target, addr := range map[string]string{
		"blackhole": strings.TrimPrefix(op.Targets["blackhole"], "http://"),
		"silent":    serve(t, func(c net.Conn) { _, _ = io.Copy(io.Discard, c) }),
		"drip":      serve(t, dripV),
	} {
		ops := opsAt(t, addr)
		ask("gomemcache Timeout", target, ops["cache"], slowops.Call{IOTimeout: clientBound})
		ask("go-sql-driver timeout", target, ops["db"], slowops.Call{ConnectTimeout: clientBound})
		ask("go-sql-driver readTimeout", target, ops["db"], slowops.Call{ReadTimeout: clientBound})
		if target != "drip" { // whose bytes are no frames, and no answer of Redis
			ask("go-redis DialTimeout", target, ops["redis"], slowops.Call{ConnectTimeout: clientBound})
			ask("go-redis ReadTimeout", target, ops["redis"], slowops.Call{ReadTimeout: clientBound})
			ask("grpc MinConnectTimeout", target, ops["grpc"], slowops.Call{ConnectTimeout: clientBound})
			ask("grpc methodConfig timeout", target, ops["grpc"], slowops.Call{IOTimeout: clientBound})
		}
	}
	all.Wait()
	return got
}

func cutOrNot(ctx context.Context, do doFunc, c slowops.Call) string {
	ctx, cancel := context.WithTimeout(ctx, clientGoesOn)
	defer cancel()
	took, err := timed(ctx, do, c)
	switch {
	case ctx.Err() != nil || took > clientGoesOn-clientBound/4: // a socket's deadline may come before the context's
		return "-"
	case took < clientBound || !strings.HasSuffix(code(err), "_timeout"):
		return fmt.Sprintf("%s after %s", code(err), took)
	}
	return "cut"
}

// dripV sends a V now and then: for gomemcache a line without an end, for
// go-sql-driver the start of a long packet.
func dripV(c net.Conn) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for range tick.C {
		if _, err := c.Write([]byte{'V'}); err != nil {
			return
		}
	}
}

// fullListener returns an address where a dial gets no answer, because the accept
// queue is full.
func fullListener(t *testing.T) (addr string) {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Close(fd) })
	if err := errors.Join(
		syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}),
		syscall.Listen(fd, 0),
	); err != nil {
		t.Fatal(err)
	}
	at, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	addr = (&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: at.(*syscall.SockaddrInet4).Port}).String()
	for range 10 {
		c, err := net.DialTimeout("tcp", addr, 5*short)
		if err != nil {
			return addr
		}
		t.Cleanup(func() { c.Close() })
	}
	t.Fatal("the accept queue is never full")
	return ""
}

func TestDialIsBounded(t *testing.T) {
	t.Parallel()
	for name, do := range opsAt(t, fullListener(t)) {
		t.Run(name, func(t *testing.T) {
			seen := new(hooks)
			took, err := timed(t.Context(), do, seen.on(slowops.Call{Deaf: true, IOTimeout: 10 * short}))
			if !isTimeout(err) || took < 10*short || took > patience {
				t.Errorf("IOTimeout: %v after %s", err, took)
			}
			seen.want(t, 1, 0, 0)

			for range 10 { // the socket's deadline and the context's race
				const soon = short / 5
				ctx, cancel := context.WithTimeout(t.Context(), soon)
				took, err = timed(ctx, do, slowops.Call{})
				cancel()
				if !errors.Is(err, context.DeadlineExceeded) || took > patience {
					t.Errorf("context: %v after %s", err, took)
				}
			}
		})
	}
}

// net/http goes on with a dial after its request has ended: https://go.dev/issue/59017.
func TestCloseEndsTheDialThatOutlivesItsRequest(t *testing.T) {
	known := goleak.IgnoreCurrent()
	http := slowops.NewHTTP("http://"+fullListener(t), 0)
	ctx, cancel := context.WithTimeout(t.Context(), 10*short) // it has dialed by then
	defer cancel()
	if err := http.Do(ctx, slowops.Call{}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	if goleak.Find(known) == nil {
		t.Error("the dial ended with its request: net/http has changed")
	}
	http.Close()
	unleaked(t, known)
}

func TestIOTimeoutEndsTheDialToo(t *testing.T) {
	known := goleak.IgnoreCurrent()
	http := slowops.NewHTTP("http://"+fullListener(t), 0)
	if err := http.Do(t.Context(), slowops.Call{IOTimeout: short}); !isTimeout(err) {
		t.Errorf("got %v", err)
	}
	unleaked(t, known) // long before dialTimeout
}

func TestConnectTimeout(t *testing.T) {
	t.Parallel()
	for name, do := range opsAt(t, fullListener(t)) {
		t.Run(name, func(t *testing.T) {
			// ConnectTimeout alone, with a shorter ReadTimeout, and with a longer IOTimeout.
			for _, c := range []slowops.Call{
				{ConnectTimeout: short},
				{ConnectTimeout: short, ReadTimeout: short / 10, IOTimeout: patience},
				{ConnectTimeout: short, Deaf: true, IOTimeout: patience},
			} {
				seen := new(phases)
				took, err := timed(t.Context(), do, seen.on(c))
				if code(err) != "connect_timeout" || took < short || took > patience {
					t.Errorf("%+v: %s after %s", c, code(err), took)
				}
				if got := seen.String(); got != name+" dial!" && got != "http connect!" {
					t.Errorf("phases %s", got)
				}
				if len(seen.outlived) > 0 {
					t.Errorf("a dial with a timeout outlived its call")
				}
			}
		})
	}
}

// The op reports a dial that outlives its request, with a remedy, and the remedy works.
func TestDialsThatOutliveTheirRequestAreTold(t *testing.T) {
	http := slowops.NewHTTP("http://"+fullListener(t), 0)
	seen := new(phases)
	ctx, cancel := context.WithTimeout(t.Context(), 10*short) // it has dialed by then
	defer cancel()
	if err := http.Do(ctx, seen.on(slowops.Call{})); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	seen.want(t, "http connect…")
	if len(seen.outlived) != 1 || !strings.Contains(seen.outlived[0], "CloseIdleConnections") {
		t.Errorf("reported %q", seen.outlived)
	}
	http.Close() // closes idle connections
	eventually(t, "the dial ended", func() bool { return seen.String() == "http connect!" })
}

// A TLS handshake belongs to its dial: one that outlives its call is told, and ends a second after the call's own
// bound, or after a call to a target.
func TestHandshakesThatOutliveTheirCallEnd(t *testing.T) {
	t.Parallel()
	toTargets := targets(t)
	silent := slowops.NewHTTP("https://"+serve(t, func(c net.Conn) { _, _ = io.Copy(io.Discard, c) }), 0)
	t.Cleanup(silent.Close)
	for name, tt := range map[string]struct {
		do   doFunc
		call slowops.Call
		most time.Duration
	}{
		"own bound": {silent.Do, slowops.Call{Limit: short}, patience},
		"a target":  {toTargets.Do, slowops.Call{Target: "slow-tls", Limit: long, Delay: long}, patience},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, leave := context.WithCancel(t.Context())
			defer leave()
			seen := new(phases)
			call := seen.on(tt.call)
			phase := call.Phase
			call.Phase = func(op, name string) func(error) {
				if name == "tls" {
					leave()
				}
				return phase(op, name)
			}
			if err := tt.do(ctx, call); !errors.Is(err, context.Canceled) {
				t.Errorf("got %v", err)
			}
			left := time.Now()
			eventually(t, "the dial has ended", func() bool { return seen.dialsOver() == 1 })
			if d := time.Since(left); d < short || d > tt.most {
				t.Errorf("the handshake ended %s after its call", d)
			}
			seen.want(t, "http connect, http tls!")
			if len(seen.outlived) != 1 || seen.early {
				t.Errorf("%d dials outlived the call; one was over before its phases: %t", len(seen.outlived), seen.early)
			}
		})
	}
}

// Each dial that outlives its call ends by a bound of its own, and the call hears of that once, not
// before the phases of the dial are over.
func TestDialsThatOutliveTheirCallEnd(t *testing.T) {
	t.Parallel()
	for name, do := range opsAt(t, fullListener(t)) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			want := 1
			if name == "cache" || name == "db" {
				want = 0 // the dial ends with the call
			}
			seen := new(phases)
			ctx, leave := context.WithCancel(t.Context())
			defer leave()
			call := seen.on(slowops.Call{Limit: 10 * short})
			call.Dialed = leave
			if err := do(ctx, call); !errors.Is(err, context.Canceled) {
				t.Errorf("got %v", err)
			}
			eventually(t, "the dials have ended", func() bool { return seen.dialsOver() == want && !strings.Contains(seen.String(), "…") })
			if len(seen.outlived) != want || seen.early {
				t.Errorf("%d dials outlived the call, want %d; one was over before its phases: %t", len(seen.outlived), want, seen.early)
			}
		})
	}
}
