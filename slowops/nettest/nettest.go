package nettest

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"os"
	"syscall"
	"testing"

	"gotimeout/internal/badnet"
	"gotimeout/internal/badnet/drivers"
	"gotimeout/internal/badnet/private"
	"gotimeout/internal/prose"
)

// refused is why the tests are on no private network, "" where they are on one. Main sets
// it before the tests run.
var refused string

// requireEnv is the variable that makes a failure of what Skip would skip.
const requireEnv = "NETTEST"

// usage is the exit status for a profile that is wrong, as for a wrong flag.
const usage = 2

// Main runs the tests of m, a *testing.M, on a private loopback that is as bad as the
// profile says, and returns their exit status. It is for a TestMain, and comes first there:
//
//	func TestMain(m *testing.M) { os.Exit(nettest.Main(m, "3g")) }
//
// It starts the test binary again, in that network, and exits with its status; 128 plus
// the signal where one ended it. Where the system gives no private network, it runs the
// tests on the network as it is. Where this process is on such a loopback already, as in a
// test binary that a test starts or under gotimeout network run, Main runs the tests
// there and leaves the profile as it is.
func Main(m interface{ Run() int }, profile string) int {
	if !flag.Parsed() {
		flag.Parse()
	}
	p, err := badnet.Parse(profile)
	if err != nil {
		fmt.Fprintf(os.Stderr, "nettest.Main: %v\n", err)
		return usage
	}
	if list := flag.Lookup("test.list"); list != nil && list.Value.String() != "" || !private.Inside() && drivers.OnLoopback() {
		return m.Run()
	}
	ran := false
	status, err := private.Work{
		Outside: private.Outside{Processes: true},
		Inside: func(_ context.Context, process *private.Process) (int, error) {
			loopback, err := open(p)
			if err != nil {
				return 0, private.Refused(err)
			}
			binary, err := os.Executable()
			if err != nil {
				return 0, err
			}
			return loopback.Command(context.Background(), process, append([]string{binary}, os.Args[1:]...))
		},
		Refused: func(reason *private.RefusedError) (int, error) {
			ran, refused = true, reason.Reason
			return m.Run(), nil
		},
	}.Do(context.Background())
	if err != nil {
		fmt.Fprintf(os.Stderr, "nettest.Main: %s\n", prose.OneLine(err))
		status = max(status, 1)
	}
	if !ran {
		// The tests have run in another process. os.Exit would write the coverage of this
		// one, and wait for a second under the race detector.
		syscall.Exit(status)
	}
	return status
}

// open makes the loopback of this process bad until the process ends: by the tun driver,
// which can do every profile and repeats its losses and delays, and otherwise by the first
// that works.
func open(p badnet.Profile) (*drivers.Loopback, error) {
	const seed = 1
	if l, err := drivers.OpenLoopback(badnet.TUN, p, seed); err == nil {
		return l, nil
	}
	return drivers.OpenLoopback(badnet.Auto, p, seed)
}

// Set makes the network as bad as another profile says, until the end of the test t and
// its subtests, for open connections too. Packets under way are released at once. Set
// fails the test where the profile is wrong, and skips it as Skip does where there is no
// private network.
//
// The network belongs to the whole test binary: tests that call Set must not be parallel
// with tests that use the network.
func Set(t testing.TB, profile string) {
	t.Helper()
	p, err := badnet.Parse(profile)
	if err != nil {
		t.Fatalf("nettest.Set: %v", err)
	}
	Skip(t)
	before, err := drivers.Change(p.String())
	if err != nil {
		t.Fatalf("nettest.Set: %v", err)
	}
	t.Cleanup(func() {
		if _, err := drivers.Change(before); err != nil {
			t.Errorf("nettest.Set: the network before is not restored: %v", err)
		}
	})
}

// Skip skips the test t, with the reason, where the tests are on no private network. With
// NETTEST=require in the environment it fails t instead, for a pipeline in which no such
// test may be left out.
func Skip(t testing.TB) {
	t.Helper()
	switch reason := cmp.Or(refused, "TestMain does not call nettest.Main"); {
	case refused == "" && drivers.OnLoopback():
	case refused == "", os.Getenv(requireEnv) == "require":
		t.Fatalf("nettest: there is no private network: %s", reason)
	default:
		t.Skipf("nettest: there is no private network: %s", reason)
	}
}
