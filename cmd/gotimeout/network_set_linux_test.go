package main

import (
	"bytes"
	"context"
	"encoding/json"
	"net"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"gotimeout/internal/golden"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// networkRun runs a network command in this process, on the thread that the test
// is locked to.
func networkRun(ctx context.Context, words ...string) (code int, stdout, last string) {
	var out, err bytes.Buffer
	code = run(ctx, append([]string{"network"}, words...), os.Getenv, &out, &err)
	lines := strings.Split(strings.TrimSpace(err.String()), "\n")
	return code, out.String(), lines[len(lines)-1]
}

// emptyNetwork gives the test a network namespace with nothing but a loopback. Its thread
// goes back to the old one after the test: the end of a thread would end the programs that
// other tests started on it (https://go.dev/issue/27505).
func emptyNetwork(t *testing.T) {
	t.Helper()
	runtime.LockOSThread()
	old, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		defer old.Close()
		if err := unix.Setns(int(old.Fd()), unix.CLONE_NEWNET); err != nil {
			t.Error(err) // the thread stays locked, and ends with the test
			return
		}
		runtime.UnlockOSThread()
	})
	if err := syscall.Unshare(syscall.CLONE_NEWNET); err != nil {
		needNetem(t, "this system allows no network namespace: "+err.Error())
	}
	lo, err := netlink.LinkByName("lo")
	if err == nil {
		err = netlink.LinkSetUp(lo)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// needNetem skips a test, or fails it where GOTIMEOUT_NETEM requires netem.
func needNetem(t *testing.T, why string) {
	t.Helper()
	if os.Getenv("GOTIMEOUT_NETEM") == "require" {
		t.Fatal(why)
	}
	t.Skip(why)
}

func TestNetworkSetDryRun(t *testing.T) {
	var all strings.Builder
	for _, words := range []string{
		"delay=100ms loss=1%", "flaky-wifi", "blackhole", "loss=5%,burst=3 delay=20ms",
		"delay=50ms jitter=10ms,pareto", "delay=10ms reorder=25% duplicate=0.1% rate=1mbit limit=20",
	} {
		args := append([]string{"set"}, strings.Fields(words)...)
		code, stdout, last := networkRun(t.Context(), append(args, "--dev", "lo", "--dry-run")...)
		if code != 0 {
			t.Errorf("%s: exit code %d, %q", words, code, last)
		}
		_, quoted, _ := networkRun(t.Context(), "set", "--dry-run", "--dev=lo", words)
		if quoted != stdout {
			t.Errorf("%s: in quotes it prints %s", words, quoted)
		}
		all.WriteString("$ gotimeout network set " + words + " --dev lo --dry-run\n" + stdout)
	}
	golden.Check(t, "network-set.txt", all.String())
}

func TestNetworkSetForAWhile(t *testing.T) {
	emptyNetwork(t)
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	begin := time.Now()
	code, stdout, last := networkRun(ctx, "set", "delay=100ms", "--dev", "lo", "--for", "60s")
	if strings.Contains(last, "this kernel has no netem") {
		needNetem(t, last)
	}
	const want = "# lo: delay=100ms, round trip: +200ms\n" +
		"tc qdisc add dev lo root handle 6770: netem limit 1000000 delay 100ms\n" +
		"# for 1m0s, or until Ctrl-C\n" +
		"tc qdisc del dev lo root\n# lo is good again\n"
	if code != 0 || stdout != want || time.Since(begin) > 20*time.Second {
		t.Errorf("exit code %d, %q after %v:\n%swant\n%s", code, last, time.Since(begin), stdout, want)
	}
	showsLo(t, "as it is")

	begin = time.Now()
	code, _, last = networkRun(t.Context(), "set", "lossy", "--dev", "lo", "--for", "200ms")
	if took := time.Since(begin); code != 0 || took < 200*time.Millisecond {
		t.Errorf("exit code %d, %q after %v", code, last, took)
	}
	showsLo(t, "as it is")
}

// The end of the terminal makes the link good again too.
func TestNetworkSetUntilTheTerminalEnds(t *testing.T) {
	emptyNetwork(t)
	own := make(chan os.Signal, 1) // else the signal could come too early, and end the tests
	signal.Notify(own, syscall.SIGHUP)
	defer signal.Stop(own)
	over, ended := make(chan bool), make(chan bool)
	go func() {
		defer close(ended)
		tick := time.NewTicker(200 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				_ = syscall.Kill(os.Getpid(), syscall.SIGHUP)
			case <-over:
				return
			}
		}
	}()
	begin := time.Now()
	code, stdout, last := networkRun(t.Context(), "set", "delay=100ms", "--dev", "lo", "--for", "60s")
	close(over)
	<-ended
	if strings.Contains(last, "this kernel has no netem") {
		needNetem(t, last)
	}
	if code != 0 || !strings.HasSuffix(stdout, "# lo is good again\n") || time.Since(begin) > 30*time.Second {
		t.Errorf("exit code %d, %q after %v:\n%s", code, last, time.Since(begin), stdout)
	}
	showsLo(t, "as it is")
}

func TestNetworkSetAndReset(t *testing.T) {
	emptyNetwork(t)
	code, _, last := networkRun(t.Context(), "set", "delay=50ms jitter=1ms,normal", "--dev=lo")
	if strings.Contains(last, "this kernel has no netem") {
		needNetem(t, last)
	}
	if code != 0 {
		t.Fatal(last)
	}
	showsLo(t, "delay=50ms jitter=1ms,normal, round trip: +100ms; 0 packets, 0 of them dropped")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	begin := time.Now()
	if c, err := net.Dial("tcp", l.Addr().String()); err != nil {
		t.Error(err)
	} else {
		c.Close()
	}
	if took := time.Since(begin); took < 90*time.Millisecond || took > 20*time.Second {
		t.Errorf("a dial took %v", took)
	}
	code, stdout, last := networkRun(t.Context(), "reset", "--dev=lo")
	if code != 0 || stdout != "tc qdisc del dev lo root\n# lo is good again\n" {
		t.Errorf("reset: exit code %d, %q, %q", code, stdout, last)
	}
	code, stdout, last = networkRun(t.Context(), "reset", "--dev=lo")
	if code != 0 || stdout != "# lo has nothing of gotimeout's\n" {
		t.Errorf("a second reset: exit code %d, %q, %q", code, stdout, last)
	}
}

// --json has the figures of the table, and null for an empty cell.
func TestNetworkShowJSON(t *testing.T) {
	emptyNetwork(t)
	show := func() string {
		code, stdout, last := networkRun(t.Context(), "show", "--json")
		var out bytes.Buffer
		if err := json.Compact(&out, []byte(stdout)); code != 0 || err != nil {
			t.Fatalf("exit code %d, %q, %v: %s", code, last, err, stdout)
		}
		return out.String()
	}
	if got := show(); !strings.Contains(got, `{"link":"lo","qdisc":null,"ours":false,"profile":null,"round_trip_ms":null,"packets":0,"dropped":0}`) {
		t.Error(got)
	}
	code, _, last := networkRun(t.Context(), "set", "delay=50ms", "--dev=lo")
	if strings.Contains(last, "this kernel has no netem") {
		needNetem(t, last)
	}
	if got := show(); code != 0 || !strings.Contains(got, `{"link":"lo","qdisc":"netem 6770:","ours":true,"profile":"delay=50ms","round_trip_ms":100,"packets":0,"dropped":0}`) {
		t.Errorf("exit code %d, %q: %s", code, last, got)
	}
}

func TestNetworkSetSparesTheWayOut(t *testing.T) {
	emptyNetwork(t)
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		t.Fatal(err)
	}
	if err := netlink.RouteAdd(&netlink.Route{LinkIndex: lo.Attrs().Index, Dst: &net.IPNet{IP: net.IPv4zero, Mask: net.CIDRMask(0, 32)}}); err != nil {
		t.Fatal(err)
	}
	code, _, last := networkRun(t.Context(), "set", "lossy", "--dev=lo")
	if code != 1 || !strings.Contains(last, "the default route leads through lo, and this may cut you off: take another link, or add --yes") {
		t.Errorf("exit code %d, %q", code, last)
	}
	if code, _, last = networkRun(t.Context(), "set", "lossy", "--dev=lo", "--yes"); code != 0 && !strings.Contains(last, "this kernel has no netem") {
		t.Errorf("with --yes: exit code %d, %q", code, last)
	}
}

func showsLo(t *testing.T, want string) {
	t.Helper()
	_, stdout, last := networkRun(t.Context(), "show")
	words := " " + strings.Join(strings.Fields(stdout), " ") + " " // without the spaces of the columns
	if _, of, there := strings.Cut(words, " lo "); there && strings.HasPrefix(of, want+" ") {
		return
	}
	t.Errorf("lo: want %q", want)
	t.Errorf("show prints %q, %q", stdout, last)
}
