package netem_test

import (
	"runtime"
	"strings"
	"testing"

	"gotimeout/internal/badnet/netem"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

func TestOpenSaysWhatIsMissing(t *testing.T) {
	open(t).Close()
	_, err := netem.Open("nonesuch")
	refuses(t, err, `there is no link "nonesuch" here: write one of those that ip link shows`)

	done := make(chan error)
	go func() {
		runtime.LockOSThread() // and ends with the goroutine
		head := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		var none [2]unix.CapUserData
		if err := unix.Capset(&head, &none[0]); err != nil {
			t.Error(err)
		}
		_, err := netem.Open("lo")
		done <- err
	}()
	refuses(t, <-done, "no right to change the network of lo (CAP_NET_ADMIN): run it as root, with sudo")
}

// What somebody else has made stays.
func TestLeavesOthersAlone(t *testing.T) {
	open(t).Close()
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		t.Fatal(err)
	}
	other := netlink.NewPrio(netlink.QdiscAttrs{LinkIndex: lo.Attrs().Index, Handle: netlink.MakeHandle(1, 0), Parent: netlink.HANDLE_ROOT})
	if err := netlink.QdiscAdd(other); err != nil {
		t.Fatal(err)
	}
	const want = "lo has a qdisc prio 1: that gotimeout didn't make, and leaves alone: remove it with tc qdisc del dev lo root"
	_, err = netem.Open("lo")
	refuses(t, err, want)
	_, err = netem.Set("lo", parse(t, "delay=1ms").Up, false)
	refuses(t, err, want)
	_, err = netem.Reset("lo")
	refuses(t, err, want)
	if got := roots(t); got != "prio 1:" {
		t.Errorf("lo has %q now", got)
	}
	if err := netlink.QdiscDel(other); err != nil {
		t.Fatal(err)
	}
}

func TestCloseLeavesNothing(t *testing.T) {
	for _, profile := range []string{"delay=1ms", "delay=1ms rate=1mbit"} {
		before, err := netlink.LinkByName("lo")
		if err != nil {
			t.Fatal(err)
		}
		n := open(t)
		apply(t, n, profile)
		if got := roots(t); !strings.Contains(got, " 678") {
			t.Errorf("with %s lo has %q", profile, got)
		}
		if err := n.Close(); err != nil {
			t.Fatal(err)
		}
		after, err := netlink.LinkByName("lo")
		if err != nil {
			t.Fatal(err)
		}
		a, b := after.Attrs(), before.Attrs()
		if got := roots(t); got != "" || a.MTU != b.MTU || a.GSOMaxSegs != b.GSOMaxSegs {
			t.Errorf("after %s lo has %q, an MTU of %d and %d segments; it had %d and %d", profile, got, a.MTU, a.GSOMaxSegs, b.MTU, b.GSOMaxSegs)
		}
	}
}

// roots is what List says of the loopback.
func roots(t *testing.T) string {
	t.Helper()
	all, err := netem.List()
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range all {
		if r.Dev == "lo" {
			return r.Qdisc
		}
	}
	t.Fatal("List has no lo")
	return ""
}

func refuses(t *testing.T, err error, want string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want %s", err, want)
	}
}
