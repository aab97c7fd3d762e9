//go:build linux

package nettest_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"gotimeout/internal/badnet/drivers"
	"gotimeout/slowops/nettest"

	"go.uber.org/goleak"
)

// subjectEnv is the profile with which this binary runs its Subject tests by Main.
const subjectEnv = "NETTEST_TEST_PROFILE"

// binary is a copy of this binary that any user may execute.
var binary string

func TestMain(m *testing.M) {
	if profile, ok := os.LookupEnv(subjectEnv); ok {
		os.Exit(nettest.Main(leaks{m}, profile))
	}
	dir, err := os.MkdirTemp("", "nettest")
	if err == nil {
		err = os.Chmod(dir, 0o755)
	}
	binary = filepath.Join(dir, "nettest.test")
	if err == nil {
		err = exec.Command("cp", os.Args[0], binary).Run()
	}
	status := 1
	if err == nil {
		status = m.Run()
	} else {
		fmt.Fprintln(os.Stderr, err)
	}
	os.RemoveAll(dir)
	os.Exit(status)
}

// leaks is a testing.M that looks for leaked goroutines.
type leaks struct{ m *testing.M }

func (l leaks) Run() int {
	status := l.m.Run()
	if err := goleak.Find(); err != nil && status == 0 {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return status
}

// subject runs one of the Subject tests, which tell what they see, by Main.
func subject(t *testing.T, uid int, profile, test string, env ...string) *exec.Cmd {
	t.Helper()
	if drivers.OnLoopback() {
		t.Skip("these tests are on a private loopback already")
	}
	cmd := exec.CommandContext(t.Context(), binary, "-test.v", "-test.run=^"+test+"$")
	cmd.Dir, cmd.WaitDelay = "/", time.Minute
	cmd.Env = append(os.Environ(), subjectEnv+"="+profile, "GORACE=atexit_sleep_ms=0")
	cmd.Env = append(cmd.Env, env...)
	if uid != os.Getuid() {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(uid)}}
	}
	return cmd
}

func run(t *testing.T, cmd *exec.Cmd) (status int, out string) {
	t.Helper()
	text, _ := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		t.Fatal("the command did not run")
	}
	return cmd.ProcessState.ExitCode(), string(text)
}

// users runs a test as this user, and where that is root, as nobody too. It skips where the
// user has no private network.
func users(t *testing.T, test func(t *testing.T, uid int)) {
	t.Helper()
	for _, uid := range slices.Compact([]int{os.Getuid(), os.Getuid() | map[bool]int{true: 65534}[os.Getuid() == 0]}) {
		t.Run(fmt.Sprint("uid ", uid), func(t *testing.T) {
			t.Parallel()
			switch status, out := run(t, subject(t, uid, "none", "TestSubjectPasses")); {
			case status != 0:
				t.Fatal(out)
			case strings.Contains(out, "--- SKIP"):
				t.Skip(out)
			}
			test(t, uid)
		})
	}
}

// inSubject skips a test that this process does not run by Main.
func inSubject(t *testing.T) {
	t.Helper()
	if _, ok := os.LookupEnv(subjectEnv); !ok {
		t.Skip("another test starts this one")
	}
}

func TestSubjectPasses(t *testing.T) { inSubject(t); nettest.Skip(t) }

func TestSubjectFails(t *testing.T) { inSubject(t); t.Error("it fails") }

func TestSubjectExits(t *testing.T) { inSubject(t); os.Exit(7) }

func TestSubjectWaits(t *testing.T) {
	inSubject(t)
	fmt.Println("ready")
	select {}
}

// loopback6 is ::1, or 127.0.0.1 where there is no IPv6 or the driver has none.
func loopback6() string {
	l, err := net.Listen("tcp", "[::1]:0")
	if err != nil {
		return "127.0.0.1"
	}
	l.Close()
	return "::1"
}

// dial returns how long a dial takes.
func dial(t *testing.T, host string) time.Duration {
	t.Helper()
	l, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	began := time.Now()
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
	return time.Since(began)
}

// Set is for one test: subtests nest, and the network before comes back.
func TestSubjectSets(t *testing.T) {
	inSubject(t)
	check := func(t *testing.T, host string, from, to time.Duration) {
		t.Helper()
		took := dial(t, host) // the shortest of some, because a busy machine makes some longer
		for try := 0; try < 20 && took >= to; try++ {
			took = min(took, dial(t, host))
		}
		if took < from || took >= to {
			t.Errorf("a dial took %s, want %s to %s", took, from, to)
		}
	}
	check(t, "127.0.0.1", 200*ms, 600*ms)
	t.Run("longer", func(t *testing.T) {
		nettest.Set(t, "delay=300ms")
		t.Run("none", func(t *testing.T) {
			nettest.Set(t, "none")
			check(t, "127.0.0.1", 0, 200*ms)
		})
		// A test binary that a test starts is on the same network, as it is now.
		out, err := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestSubjectNested$").CombinedOutput()
		if err != nil {
			t.Errorf("nested: %v: %s", err, out)
		}
	})
	check(t, loopback6(), 200*ms, 600*ms)
}

const ms = time.Millisecond

func TestSubjectNested(t *testing.T) {
	inSubject(t)
	if took := dial(t, loopback6()); took < 600*ms {
		t.Errorf("a dial took %s, want 600ms", took)
	}
}

func TestSubjectSetsWrongly(t *testing.T) {
	inSubject(t)
	nettest.Set(t, "delay=100")
	t.Error("Set returned")
}

func TestSet(t *testing.T) {
	t.Parallel()
	users(t, func(t *testing.T, uid int) {
		if status, out := run(t, subject(t, uid, "delay=100ms", "TestSubjectSets")); status != 0 {
			t.Errorf("exit status %d: %s", status, out)
		}
	})
}

// The exit status of the tests goes through, and so does what they print.
func TestStatus(t *testing.T) {
	t.Parallel()
	users(t, func(t *testing.T, uid int) {
		for test, want := range map[string]struct {
			status int
			prints string
		}{
			"TestSubjectPasses":      {0, "--- PASS: TestSubjectPasses"},
			"TestSubjectFails":       {1, "it fails"},
			"TestSubjectExits":       {7, ""},
			"TestSubjectSetsWrongly": {1, "nettest.Set: delay=100: unreadable duration"},
		} {
			if status, out := run(t, subject(t, uid, "none", test)); status != want.status || !strings.Contains(out, want.prints) || strings.Contains(out, "Set returned") {
				t.Errorf("%s: exit status %d, want %d with %q: %s", test, status, want.status, want.prints, out)
			}
		}
	})
}

// A signal to the process outside reaches the tests: go test sends SIGQUIT at its timeout, for
// the stacks of all goroutines.
func TestSignals(t *testing.T) {
	t.Parallel()
	users(t, func(t *testing.T, uid int) {
		for _, want := range []struct {
			signal syscall.Signal
			status int
			prints string
		}{{syscall.SIGQUIT, 2, "TestSubjectWaits"}, {syscall.SIGTERM, 128 + 15, ""}} {
			cmd := subject(t, uid, "none", "TestSubjectWaits")
			out, err := cmd.StdoutPipe()
			cmd.Stderr = cmd.Stdout
			if err == nil {
				err = cmd.Start()
			}
			if err != nil {
				t.Fatal(err)
			}
			text := bufio.NewReader(out)
			for line := ""; line != "ready\n"; {
				if line, err = text.ReadString('\n'); err != nil {
					t.Fatal(err)
				}
			}
			if err := cmd.Process.Signal(want.signal); err != nil {
				t.Fatal(err)
			}
			rest, _ := io.ReadAll(text)
			if _ = cmd.Wait(); cmd.ProcessState.ExitCode() != want.status || !strings.Contains(string(rest), want.prints) {
				t.Errorf("%s: %s, want exit status %d with %q: %s", want.signal, cmd.ProcessState, want.status, want.prints, rest)
			}
		}
	})
}

// A list of the tests needs no network, and a wrong profile is one sentence.
func TestMainStartsNothing(t *testing.T) {
	t.Parallel()
	list := subject(t, os.Getuid(), "none", "x")
	list.Args = []string{binary, "-test.list=^TestSubjectP"}
	if status, out := run(t, list); status != 0 || out != "TestSubjectPasses\n" {
		t.Errorf("-test.list: exit status %d: %s", status, out)
	}
	want := "nettest.Main: there is no network preset \"3gg\", did you mean 3g? (or write keys, as in delay=100ms loss=1%)\n"
	if status, out := run(t, subject(t, os.Getuid(), "3gg", "TestSubjectPasses")); status != 2 || out != want {
		t.Errorf("a wrong profile: exit status %d: %s", status, out)
	}
}

// Without namespaces the tests run on the network as it is, and Skip gives the reason.
func TestWithoutNamespaces(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("only root can take the namespaces away")
	}
	without := func(test string, env ...string) (status int, out string) {
		cmd := subject(t, 0, "delay=10s", test, env...)
		cmd.Args = append([]string{"unshare", "-U", "-r", "sh", "-c",
			`echo 0 >/proc/sys/user/max_user_namespaces && exec setpriv --bounding-set=-all --inh-caps=-all "$@"`, "sh", binary}, cmd.Args[1:]...)
		if cmd.Path, cmd.Err = exec.LookPath("unshare"); errors.Is(cmd.Err, exec.ErrNotFound) {
			t.Skip(cmd.Err)
		}
		return run(t, cmd)
	}
	const reason = "there is no private network: this system allows no private networks (user.max_user_namespaces is 0)"
	status, out := without("TestSubject(Passes|Fails|SetsWrongly)")
	if strings.Contains(out, "unshare") {
		t.Skipf("this system allows no user namespaces: %s", out)
	}
	for _, want := range []string{reason, "--- SKIP: TestSubjectPasses", "--- FAIL: TestSubjectFails", "--- FAIL: TestSubjectSetsWrongly"} {
		if status != 1 || !strings.Contains(out, want) {
			t.Errorf("exit status %d, without %q: %s", status, want, out)
		}
	}
	status, out = without("TestSubjectPasses", "NETTEST=require")
	if status != 1 || !strings.Contains(out, "--- FAIL: TestSubjectPasses") || !strings.Contains(out, reason) {
		t.Errorf("NETTEST=require: exit status %d: %s", status, out)
	}
}
