//go:build linux

package tun

import (
	"context"
	"errors"
	"flag"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gotimeout/internal/badnet"
	"gotimeout/internal/badnet/private/privatetest"

	"github.com/vishvananda/netlink"
)

// driver opens the one driver of this process, whose routes stay until the process ends.
func driver(t *testing.T) badnet.Driver {
	t.Helper()
	if opened.err != nil {
		t.Skip(opened.err)
	}
	return opened.driver
}

func apply(t *testing.T, d badnet.Driver, all string, ports map[uint16]string) {
	t.Helper()
	plan := badnet.Plan{All: profile(t, all), Ports: map[uint16]badnet.Profile{}}
	for port, text := range ports {
		plan.Ports[port] = profile(t, text)
	}
	if err := d.Apply(plan); err != nil {
		t.Fatal(err)
	}
}

// hosts returns loopback addresses of both families, as far as they are there.
func hosts(t *testing.T) []string {
	t.Helper()
	all := []string{"127.0.0.1", "127.0.0.2"}
	l, err := net.Listen("tcp", "[::1]:0")
	if err == nil {
		l.Close()
		return append(all, "::1")
	}
	if _, noIPv6 := os.Stat("/proc/sys/net/ipv6"); noIPv6 == nil && driver(t).(*TUN).noSix == nil {
		t.Error(err)
	}
	t.Log("there is no ::1: ", driver(t).(*TUN).noSix)
	return all
}

// echo listens and sends each byte back.
func echo(t *testing.T, host string) *net.TCPAddr {
	t.Helper()
	l, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				_, _ = io.Copy(conn, conn)
				conn.Close()
			}()
		}
	}()
	return l.Addr().(*net.TCPAddr)
}

func dial(t *testing.T, to net.Addr) (net.Conn, time.Duration) {
	t.Helper()
	began := time.Now()
	conn, err := net.Dial("tcp", to.String())
	took := time.Since(began)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn, took
}

// off is what a round trip may take longer than asked, on a busy machine. It is less than the
// difference between two delays of a test.
const off = 500 * ms

// checkPing takes the shortest of several round trips, because a busy machine makes some longer.
func checkPing(t *testing.T, what string, conn net.Conn, asked time.Duration) {
	t.Helper()
	took, b := time.Hour, make([]byte, 64)
	for try := 0; try < 5 && took > asked+off; try++ {
		began := time.Now()
		if _, err := conn.Write(b); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(conn, b); err != nil {
			t.Fatal(err)
		}
		took = min(took, time.Since(began))
	}
	if took < asked || took > asked+off {
		t.Errorf("%s took at least %s, want %s", what, took, asked)
	}
}

// between fails the test where got is shorter than from, or much longer.
func between(t *testing.T, what string, got, from time.Duration) {
	t.Helper()
	if got < from || got > from+5*time.Second {
		t.Errorf("%s took %s, want %s", what, got, from)
	}
}

// The handshake is delayed as much as the data, and a change applies to open
// connections too.
func TestDelay(t *testing.T) {
	d := driver(t)
	conns := map[string]net.Conn{}
	for _, host := range hosts(t) {
		to := echo(t, host)
		apply(t, d, "none", nil)
		conns[host], _ = dial(t, to)
		if at := conns[host].RemoteAddr(); at.String() != to.String() {
			t.Errorf("the server seems to be at %s, and is at %s", at, to)
		}
		t.Run("dial", func(t *testing.T) {
			apply(t, d, "delay=200ms", nil)
			_, took := dial(t, to)
			between(t, "dial", took, 400*ms)
		})
	}
	for text, want := range map[string]time.Duration{"delay=800ms": 1600 * ms, "up.delay=800ms": 800 * ms, "none": 0} {
		apply(t, d, text, nil)
		t.Run(text, func(t *testing.T) {
			for host, conn := range conns {
				t.Run(host, func(t *testing.T) {
					t.Parallel()
					checkPing(t, "ping", conn, want)
				})
			}
		})
	}
}

// The packets under way when the network changes are released at once, in their order.
func TestChangeReleases(t *testing.T) {
	d, to := driver(t), echo(t, "127.0.0.1")
	apply(t, d, "none", nil)
	conn, _ := dial(t, to)
	apply(t, d, "delay=30s", nil)
	if _, err := io.WriteString(conn, "under way"); err != nil {
		t.Fatal(err)
	}
	time.Sleep(50 * ms)
	apply(t, d, "none", nil)
	b := make([]byte, 9)
	_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.ReadFull(conn, b); err != nil || string(b) != "under way" {
		t.Errorf("%q, %v", b, err)
	}
}

func TestOnePortAlone(t *testing.T) {
	d, slow, fast := driver(t), echo(t, "127.0.0.1"), echo(t, "127.0.0.1")
	apply(t, d, "none", map[uint16]string{uint16(slow.Port): "delay=500ms"})
	conn, took := dial(t, slow)
	between(t, "dial of the slow", took, 1000*ms)
	checkPing(t, "ping of the slow", conn, 1000*ms)
	if conn, took = dial(t, fast); took >= 1000*ms {
		t.Errorf("dial of the fast took %s", took)
	}
	checkPing(t, "ping of the fast", conn, 0)
}

// No packet refuses the dial, so the dial's own timeout ends it.
func TestBlackhole(t *testing.T) {
	d, to := driver(t), echo(t, "127.0.0.1")
	apply(t, d, "blackhole", nil)
	defer apply(t, d, "none", nil)
	ctx, cancel := context.WithTimeout(t.Context(), 200*ms)
	defer cancel()
	var dialer net.Dialer
	if conn, err := dialer.DialContext(ctx, "tcp", to.String()); !errors.Is(err, context.DeadlineExceeded) && !isTimeout(err) {
		t.Errorf("%v, %v", conn, err)
	}
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}

// The kernel sends lost packets again, so all bytes arrive, in order.
func TestLossIsRepaired(t *testing.T) {
	d := driver(t)
	for _, host := range hosts(t) {
		t.Run(host, func(t *testing.T) { repaired(t, d, echo(t, host)) })
	}
}

func repaired(t *testing.T, d badnet.Driver, to *net.TCPAddr) {
	apply(t, d, "delay=1ms loss=5% duplicate=5% reorder=5%", nil)
	before, _ := d.Totals()
	conn, _ := dial(t, to)
	const size = 512 << 10
	go func() {
		b := make([]byte, size)
		for i := range b {
			b[i] = byte(i % 251)
		}
		_, _ = conn.Write(b)
	}()
	b := make([]byte, size)
	_ = conn.SetReadDeadline(time.Now().Add(time.Minute))
	if _, err := io.ReadFull(conn, b); err != nil {
		t.Fatal(err)
	}
	for i := range b {
		if b[i] != byte(i%251) {
			t.Fatalf("byte %d is wrong", i)
		}
	}
	after, err := d.Totals()
	packets, dropped := after.Packets-before.Packets, after.Dropped-before.Dropped
	// A segment is as long as the MTU allows, not 64 KiB.
	if err != nil || packets < 2*size/mtu || dropped < packets/50 || dropped > packets/10 {
		t.Errorf("%d packets, %d dropped, %v", packets, dropped, err)
	}
}

// A datagram longer than the MTU arrives in fragments.
func TestFragmentsArrive(t *testing.T) {
	d := driver(t)
	apply(t, d, "delay=10ms", nil)
	for _, host := range hosts(t) {
		fragments(t, host)
	}
}

func fragments(t *testing.T, host string) {
	server, err := net.ListenPacket("udp", net.JoinHostPort(host, "0"))
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	conn, err := net.Dial("udp", server.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	began := time.Now()
	if _, err := conn.Write(make([]byte, 5000)); err != nil {
		t.Fatal(err)
	}
	_ = server.SetReadDeadline(began.Add(10 * time.Second))
	n, _, err := server.ReadFrom(make([]byte, 6000))
	if n != 5000 || err != nil {
		t.Errorf("%d bytes, %v", n, err)
	}
	between(t, "the way", time.Since(began), 10*ms)
}

// slow is a Watcher that takes longer with a packet than a sender does.
type slow struct{}

func (slow) Changed(badnet.Profile)  {}
func (slow) Sent(badnet.Packet)      { time.Sleep(ms) }
func (slow) Delivered(badnet.Packet) {}

// Whoever asks the driver has a turn while there are always more packets.
func TestFlood(t *testing.T) {
	d := driver(t)
	apply(t, d, "none", nil)
	defer d.(*TUN).Watch(slow{})()
	server, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	var over atomic.Bool
	var senders sync.WaitGroup
	defer senders.Wait()
	defer over.Store(true)
	for range 4 {
		conn, err := net.Dial("udp", server.LocalAddr().String())
		if err != nil {
			t.Fatal(err)
		}
		senders.Go(func() {
			defer conn.Close()
			for b := make([]byte, 16); !over.Load(); {
				_, _ = conn.Write(b)
			}
		})
	}
	answered := make(chan bool)
	go func() {
		defer close(answered)
		for range 20 {
			_, _ = d.Totals()
			time.Sleep(ms)
		}
	}()
	select {
	case <-answered:
	case <-time.After(30 * time.Second):
		t.Error("the totals don't come")
	}
}

// A packet that the outside does not take is dropped, as one that the kernel refuses.
func TestOutsideDrops(t *testing.T) {
	for _, taken := range []bool{true, false} {
		d := &TUN{network: newNetwork(1), outside: &outside{take: func([]byte) bool { return taken }}}
		d.write(append(make([]byte, vnet), frame(udp, 1, 2, 0, 60)...))
		if got, _ := d.Totals(); (got.Dropped == 0) != taken {
			t.Errorf("taken %t: %+v", taken, got)
		}
	}
}

// A port where nobody listens refuses the connection after the delay.
func TestRefusedIsDelayed(t *testing.T) {
	d := driver(t)
	apply(t, d, "delay=20ms", nil)
	for _, host := range hosts(t) {
		began := time.Now()
		if conn, err := net.Dial("tcp", net.JoinHostPort(host, "1")); err == nil {
			conn.Close()
			t.Error("somebody listens on port 1")
		}
		between(t, "the refusal", time.Since(began), 40*ms)
	}
}

// withoutEnv makes a test binary play a kernel without clsact: lo has one already, so the
// driver can't add its own.
const withoutEnv = "TUN_TEST_WITHOUT_CLSACT"

// Where ::1 can't be redirected there is none, because it would be good.
func TestWithoutClsact(t *testing.T) {
	d := driver(t).(*TUN)
	if os.Getenv(withoutEnv) != "" {
		if got := hosts(t); d.noSix == nil || len(got) != 2 {
			t.Errorf("%v, with %v", d.noSix, got)
		}
		return
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.v", "-test.run=^Test(WithoutClsact|RefusedIsDelayed)$")
	cmd.Env = append(os.Environ(), withoutEnv+"=1")
	if out, err := cmd.CombinedOutput(); err != nil || strings.Contains(string(out), "SKIP") {
		t.Errorf("%v: %s", err, out)
	}
}

// deletedEnv makes a test binary lose its TUN.
const deletedEnv = "TUN_TEST_DELETED"

// Without its device the driver says so, and the loopback is not good.
func TestDeleted(t *testing.T) {
	d := driver(t).(*TUN)
	if os.Getenv(deletedEnv) == "" {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.v", "-test.run=^TestDeleted$")
		cmd.Env = append(os.Environ(), deletedEnv+"=1")
		if out, err := cmd.CombinedOutput(); err != nil || strings.Contains(string(out), "SKIP") {
			t.Errorf("%v: %s", err, out)
		}
		return
	}
	var addrs []*net.TCPAddr
	for _, host := range hosts(t) {
		addrs = append(addrs, echo(t, host))
	}
	link, err := netlink.LinkByName(name)
	if err == nil {
		err = netlink.LinkDel(link)
	}
	if err != nil {
		t.Fatal(err)
	}
	const want = "the tun driver: its device bad0 was deleted"
	if err := <-d.Failed(); err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
	for _, addr := range addrs {
		if conn, err := net.DialTimeout("tcp", addr.String(), 300*time.Millisecond); err == nil {
			t.Errorf("%s is good", addr)
			conn.Close()
		}
	}
	if err := d.Apply(badnet.Plan{}); err == nil {
		t.Error("a change of what is gone")
	}
	if err := d.Close(); err == nil || err.Error() != want {
		t.Errorf("closed: %v, want %s", err, want)
	}
	if conn, err := net.DialTimeout("tcp", addrs[0].String(), 30*time.Second); err != nil {
		t.Errorf("closed, and not good: %v", err)
	} else {
		conn.Close()
	}
}

var opened struct {
	driver badnet.Driver
	err    error
}

func TestMain(m *testing.M) {
	flag.Parse()
	if flag.Lookup("test.fuzz").Value.String() != "" {
		os.Exit(m.Run()) // the fuzzer passes files to its workers, so it stays outside
	}
	if opened.err = privatetest.Enter(); opened.err == nil {
		if os.Getenv(withoutEnv) != "" {
			opened.err = netlink.QdiscAdd(&netlink.Clsact{QdiscAttrs: netlink.QdiscAttrs{LinkIndex: 1, Parent: netlink.HANDLE_CLSACT}})
		}
	}
	if opened.err == nil {
		opened.driver, opened.err = Open(1)
	}
	status := m.Run()
	if opened.err == nil {
		if err := opened.driver.Close(); err != nil && os.Getenv(deletedEnv) == "" {
			os.Stderr.WriteString(err.Error() + "\n")
			status = 1
		}
	}
	os.Exit(status)
}
