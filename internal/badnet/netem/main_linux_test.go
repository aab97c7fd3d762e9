package netem_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"gotimeout/internal/badnet"
	"gotimeout/internal/badnet/netem"

	"github.com/vishvananda/netlink"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

const inNamespace = "GOTIMEOUT_TEST_IN_NAMESPACE"

// TestMain starts the tests again in a network namespace of their own, because the
// tests must not change the machine's loopback.
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

// lacks skips a test whose requirement this machine lacks, or fails the test where
// GOTIMEOUT_NETEM requires netem.
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

// flight sends numbered packets in one direction, from one socket to another.
type flight struct {
	t        *testing.T
	from, to *net.UDPConn
	begun    time.Time
}

// arrival is a packet that was received.
type arrival struct {
	number   int
	sent, at time.Duration
}

func (a arrival) took() time.Duration { return a.at - a.sent }

// fly opens a flight to a port of the loopback, and one back. 0 is any port.
func fly(t *testing.T, host string, port int) (there, back flight) {
	t.Helper()
	server := listen(t, host, port)
	client := listen(t, host, 0)
	begun := time.Now()
	return flight{t, client, server, begun}, flight{t, server, client, begun}
}

func listen(t *testing.T, host string, port int) *net.UDPConn {
	t.Helper()
	c, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.ParseIP(host), Port: port})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	raw, err := c.SyscallConn()
	if err == nil { // a reader that a busy machine pauses loses nothing; the plain SO_RCVBUF gets 0.1 s of 10mbit at most
		err = raw.Control(func(fd uintptr) { _ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 4<<20) })
	}
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// send sends a packet of that many bytes, its headers among them.
func (f flight) send(number, bytes int) {
	f.t.Helper()
	packet := make([]byte, max(bytes-28, 16))
	binary.BigEndian.PutUint64(packet, uint64(number))
	binary.BigEndian.PutUint64(packet[8:], uint64(time.Since(f.begun)))
	if _, err := f.from.WriteTo(packet, f.to.LocalAddr()); err != nil {
		f.t.Error(err)
	}
}

// receive returns the next packet, or false if none comes within patience.
func (f flight) receive(patience time.Duration) (arrival, bool) {
	f.t.Helper()
	packet := make([]byte, 2000)
	if err := f.to.SetReadDeadline(time.Now().Add(patience)); err != nil {
		f.t.Error(err)
	}
	if _, _, err := f.to.ReadFrom(packet); err != nil {
		return arrival{}, false
	}
	return arrival{
		int(binary.BigEndian.Uint64(packet)),
		time.Duration(binary.BigEndian.Uint64(packet[8:])), time.Since(f.begun),
	}, true
}

// all receives packets until none has come for patience.
func (f flight) all(patience time.Duration) []arrival {
	f.t.Helper()
	var out []arrival
	for {
		a, ok := f.receive(patience)
		if !ok {
			return out
		}
		out = append(out, a)
	}
}

// stream sends packets with a pause between them, and returns the packets that
// arrived.
func (f flight) stream(packets, bytes int, pause time.Duration) []arrival {
	f.t.Helper()
	arrivals := make(chan []arrival)
	go func() { arrivals <- f.all(time.Second) }()
	for i := range packets {
		f.send(i, bytes)
		if pause > 0 {
			<-time.After(pause)
		}
	}
	return <-arrivals
}

// counts sends many packets through a network without a delay, in groups that fit
// into the receiver's socket, and returns how often each packet arrived.
func (f flight) counts(packets int) []int {
	f.t.Helper()
	counts := make([]int, packets)
	raw, err := f.to.SyscallConn()
	if err != nil {
		f.t.Fatal(err)
	}
	packet := make([]byte, 2000)
	// A read after its deadline returns nothing, even where a packet waits, so receive sets no deadline.
	receive := func(socket uintptr) bool {
		for {
			if _, _, err := unix.Recvfrom(int(socket), packet, unix.MSG_DONTWAIT); err != nil {
				return true
			}
			counts[binary.BigEndian.Uint64(packet)]++
		}
	}
	for i := range packets {
		f.send(i, 100)
		if i%50 == 49 {
			err = errors.Join(err, raw.Read(receive))
		}
	}
	<-time.After(100 * time.Millisecond)
	if err = errors.Join(err, raw.Read(receive)); err != nil {
		f.t.Fatal(err)
	}
	return counts
}

// way returns how long a packet takes.
func (f flight) way() time.Duration {
	f.t.Helper()
	return best(func() time.Duration {
		f.send(0, 100)
		a, ok := f.receive(time.Second)
		if !ok {
			f.t.Error("a packet didn't come")
		}
		return a.took()
	})
}

// best is the shortest of a few measurements. A busy machine makes some of them longer,
// and nothing makes one shorter than the network's delay.
func best(measure func() time.Duration) time.Duration {
	shortest := measure()
	for range 4 {
		shortest = min(shortest, measure())
	}
	return shortest
}

// within fails the test unless the duration is from least to most.
func within(t *testing.T, what string, got, least, most time.Duration) {
	t.Helper()
	if got < least || got > most {
		t.Errorf("%s: %v, want %v to %v", what, got, least, most)
	}
}

// near fails the test where got is further than off from want.
func near(t *testing.T, what string, got, want, off float64) {
	t.Helper()
	if got < want-off || got > want+off {
		t.Errorf("%s: %.5g, want %.5g ±%.2g", what, got, want, off)
	}
}
