package netem_test

import (
	"errors"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"gotimeout/internal/badnet"
	"gotimeout/internal/badnet/netem"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// echo serves TCP until the test ends, and sends each byte back.
func echo(t *testing.T, address string) (at string) {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				b := make([]byte, 100)
				for {
					n, err := c.Read(b)
					if err != nil {
						return
					}
					_, _ = c.Write(b[:n])
				}
			}()
		}
	}()
	return l.Addr().String()
}

// dial returns a connection, and how long a dial takes.
func dial(t *testing.T, address string) (net.Conn, time.Duration) {
	t.Helper()
	var c net.Conn
	took := best(func() time.Duration {
		begin := time.Now()
		var err error
		if c, err = net.Dial("tcp", address); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return time.Since(begin)
	})
	return c, took
}

// roundTrip is the round-trip time of one byte.
func roundTrip(t *testing.T, c net.Conn) time.Duration {
	t.Helper()
	return best(func() time.Duration {
		begin := time.Now()
		if _, err := c.Write([]byte{1}); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Read(make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		return time.Since(begin)
	})
}

func TestDelayIsOneWay(t *testing.T) {
	n := open(t)
	apply(t, n, "delay=50ms")
	c, took := dial(t, echo(t, "127.0.0.1:0"))
	within(t, "dial", took, 100*ms, 130*ms)
	within(t, "round trip", roundTrip(t, c), 100*ms, 130*ms)
	there, back := fly(t, "127.0.0.1", 0)
	within(t, "UDP there", there.way(), 50*ms, 80*ms)
	within(t, "UDP back", back.way(), 50*ms, 80*ms)
}

// An open connection gets the new network at once, whether the qdiscs are kept or
// replaced.
func TestApplyIsLive(t *testing.T) {
	n := open(t)
	c, _ := dial(t, echo(t, "127.0.0.1:0"))
	for _, test := range []struct {
		profile     string
		least, most time.Duration
	}{
		{"delay=50ms", 100 * ms, 130 * ms},
		{"delay=5ms", 10 * ms, 40 * ms},
		{"delay=50ms rate=1gbit", 100 * ms, 130 * ms},
		{"delay=20ms rate=1gbit", 40 * ms, 70 * ms},
		{"delay=40ms duplicate=1%", 80 * ms, 110 * ms},
		{"delay=50ms jitter=1ms,normal", 90 * ms, 130 * ms},
		{"delay=20ms jitter=1ms", 38 * ms, 70 * ms},
		{"none", 0, 20 * ms},
	} {
		apply(t, n, test.profile)
		within(t, test.profile, roundTrip(t, c), test.least, test.most)
	}
}

// Where only figures change, the packets under way still arrive.
func TestApplyKeepsWhatIsUnderWay(t *testing.T) {
	for _, profiles := range [][2]string{{"delay=100ms", "delay=1ms"}, {"delay=100ms rate=1gbit", "delay=1ms rate=1mbit"}} {
		t.Run(profiles[0], func(t *testing.T) {
			n := open(t)
			apply(t, n, profiles[0])
			f, _ := fly(t, "127.0.0.1", 0)
			f.send(0, 100)
			apply(t, n, profiles[1])
			a, ok := f.receive(time.Second)
			if !ok {
				t.Fatal("the packet was dropped")
			}
			within(t, "it", a.took(), 100*ms, 150*ms)
		})
	}
}

func TestPortsHaveTheirOwn(t *testing.T) {
	n := open(t)
	for _, host := range []string{"127.0.0.1", "::1"} {
		t.Run(host, func(t *testing.T) {
			plan := badnet.Plan{Ports: map[uint16]badnet.Profile{
				5001: parse(t, "up.delay=30ms down.delay=60ms"),
				5002: parse(t, "delay=20ms"),
			}}
			if err := n.Apply(plan); err != nil {
				t.Fatal(err)
			}
			if l, err := net.Listen("tcp", net.JoinHostPort(host, "0")); err != nil {
				t.Skipf("the loopback of this machine lacks the address: %v", err)
			} else {
				l.Close()
			}
			there, back := fly(t, host, 5001)
			within(t, "up", there.way(), 30*ms, 55*ms)
			within(t, "down", back.way(), 60*ms, 90*ms)

			address := func(port string) string { return echo(t, net.JoinHostPort(host, port)) }
			c, took := dial(t, address("5001"))
			within(t, "dial", took, 90*ms, 120*ms)
			within(t, "round trip", roundTrip(t, c), 90*ms, 120*ms)
			c, took = dial(t, address("5002"))
			within(t, "dial to the other", took, 40*ms, 70*ms)
			within(t, "round trip to the other", roundTrip(t, c), 40*ms, 70*ms)
			c, took = dial(t, address("0"))
			within(t, "dial to a third", took, 0, 25*ms)
			within(t, "round trip to a third", roundTrip(t, c), 0, 25*ms)

			plan.All = parse(t, "delay=25ms rate=1gbit")
			delete(plan.Ports, 5001)
			if err := n.Apply(plan); err != nil {
				t.Fatal(err)
			}
			within(t, "round trip to the third, as all", roundTrip(t, c), 50*ms, 80*ms)
		})
	}
}

// The kernel keeps an option that a change leaves out, so Apply must send each option.
func TestApplyForgets(t *testing.T) {
	n := open(t)
	for _, profile := range []string{"delay=10ms jitter=10ms,normal rate=8kbit loss=20%,burst=2 reorder=50%", "delay=10ms"} {
		plan := badnet.Plan{Ports: map[uint16]badnet.Profile{5003: parse(t, profile)}}
		if err := n.Apply(plan); err != nil {
			t.Fatal(err)
		}
	}
	f, _ := fly(t, "127.0.0.1", 5003)
	arrivals := f.stream(100, 100, 0)
	near(t, "packets that came", float64(len(arrivals)), 100, 0)
	for i, a := range arrivals {
		if a.number != i {
			t.Fatalf("packet %d came in the place of %d", a.number, i)
		}
	}
	c, _ := dial(t, echo(t, "127.0.0.1:5003"))
	within(t, "round trip", roundTrip(t, c), 20*ms, 45*ms)
}

// After an error the network is the one before.
func TestApplyRefuses(t *testing.T) {
	n := open(t)
	c, _ := dial(t, echo(t, "127.0.0.1:0"))
	ports := map[uint16]badnet.Profile{}
	for port := range uint16(8) {
		ports[port+1] = parse(t, "delay=1ms")
	}
	for want, plan := range map[string]badnet.Plan{
		"which end of a connection is the server": {All: parse(t, "up.delay=1ms")},
		"netem tells at most 7 ports apart":       {Ports: ports},
		"vary a delay by more than 2.147483647s":  {All: parse(t, "delay=10s jitter=3s")},
		"interrupt its bursts":                    {All: parse(t, "loss=1%,burst=3 duplicate=1%")},
		"so much of both loss and duplicate":      {All: parse(t, "loss=50% duplicate=50%")},
		"duplicates packets only where one netem": {All: parse(t, "duplicate=1% rate=1mbit")},
	} {
		for _, before := range []string{"delay=30ms", "delay=30ms rate=1gbit"} {
			apply(t, n, before)
			err := n.Apply(plan)
			if err == nil && plan.All.Up.Duplicate > 0 && plan.All.Up.Rate > 0 {
				t.Skip("this kernel's netem does both, as all before 6.16 do")
			}
			if !errors.Is(err, badnet.ErrCannot) || !strings.Contains(err.Error(), want) {
				t.Errorf("got %v, want an ErrCannot: %s", err, want)
			}
			within(t, "round trip after "+want, roundTrip(t, c), 60*ms, 90*ms)
		}
	}
}

// strays is the most packets that connections of earlier tests may add.
const strays = 200

// The totals go on over a change of the profile.
func TestTotalsGoOn(t *testing.T) {
	n := open(t)
	f, _ := fly(t, "127.0.0.1", 0)
	want := 0.
	for _, profile := range []string{"none", "loss=100%", "rate=1gbit", "rate=10mbit", "loss=50%,burst=3", "delay=1ms"} {
		apply(t, n, profile)
		for i := range 500 {
			f.send(i, 100)
		}
		f.all(100 * ms)
		want += 500
		totals, err := n.Totals()
		if err != nil {
			t.Fatal(err)
		}
		near(t, "packets after "+profile, float64(totals.Packets), want, strays)
		if profile == "loss=100%" {
			near(t, "dropped", float64(totals.Dropped), 500, strays)
		}
	}
}

func TestOpenSaysWhatIsMissing(t *testing.T) {
	open(t).Close()
	_, err := netem.Open("nonesuch")
	refuses(t, err, `there is no link "nonesuch" here: write one of those that ip link shows`)

	done := make(chan error)
	go func() {
		runtime.LockOSThread() // the thread ends with the goroutine
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

// A qdisc that another program has made stays.
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

// roots returns the root qdiscs that List has for the loopback.
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
