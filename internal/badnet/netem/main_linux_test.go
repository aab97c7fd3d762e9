package netem_test

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"gotimeout/internal/badnet"
	"gotimeout/internal/badnet/netem"

	"github.com/vishvananda/netlink"
	"go.uber.org/goleak"
)

const inNamespace = "GOTIMEOUT_TEST_IN_NAMESPACE"

// TestMain starts the tests again in a network namespace of their own: the
// machine's loopback isn't theirs to break.
func TestMain(m *testing.M) {
	if os.Getenv(inNamespace) != "" {
		lo, err := netlink.LinkByName("lo")
		if err == nil {
			err = netlink.LinkSetUp(lo)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, "cannot bring the namespace's loopback up:", err)
			os.Exit(1)
		}
		goleak.VerifyTestMain(m)
	}
	again := exec.Command("/proc/self/exe", os.Args[1:]...)
	again.Env = append(os.Environ(), inNamespace+"=1")
	again.Stdin, again.Stdout, again.Stderr = os.Stdin, os.Stdout, os.Stderr
	again.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	if os.Getuid() != 0 {
		again.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		again.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}}
		again.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}}
	}
	if err := again.Start(); err != nil {
		noNamespace = err
		goleak.VerifyTestMain(m)
	}
	_ = again.Wait()
	os.Exit(again.ProcessState.ExitCode())
}

var noNamespace error

// lacks skips a test that needs what isn't here, or fails it where netem is
// required.
func lacks(t *testing.T, format string, args ...any) {
	t.Helper()
	if os.Getenv("GOTIMEOUT_NETEM") == "require" {
		t.Fatalf(format, args...)
	}
	t.Skipf(format+" (GOTIMEOUT_NETEM=require makes this a failure)", args...)
}

// open opens the driver on the namespace's loopback until the test ends.
func open(t *testing.T) *netem.Netem {
	t.Helper()
	needNamespace(t)
	n, err := netem.Open("lo")
	if err != nil && strings.Contains(err.Error(), "this kernel has no netem") {
		lacks(t, "%v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	return n
}

func needNamespace(t *testing.T) {
	t.Helper()
	if noNamespace != nil {
		lacks(t, "no network namespace to break (%v)", noNamespace)
	}
}

// apply applies a profile to all packets.
func apply(t *testing.T, n *netem.Netem, profile string) {
	t.Helper()
	if err := n.Apply(badnet.Plan{All: parse(t, profile)}); err != nil {
		t.Fatalf("%s: %v", profile, err)
	}
}

func parse(t *testing.T, profile string) badnet.Profile {
	t.Helper()
	p, err := badnet.Parse(profile)
	if err != nil {
		t.Fatal(err)
	}
	return p
}
