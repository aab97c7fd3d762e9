//go:build linux

package sockets_test

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"regexp"
	"testing"
	"time"

	"go.uber.org/goleak"

	"gotimeout/internal/badnet/private"
	"gotimeout/internal/sockets"
)

func TestEach(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	client, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	server, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	check(t, client, sockets.Established)
	check(t, server, sockets.Established)
	client.Close()
	eventually(t, client, sockets.FinWait2) // the server acknowledges the FIN a little later
	check(t, server, sockets.CloseWait)
	server.Close()
	check(t, client, sockets.TimeWait)
	check(t, server, sockets.Closed)
}

func check(t *testing.T, conn net.Conn, want sockets.State) {
	t.Helper()
	if got := state(t, conn); got != want {
		t.Errorf("%s to %s is %s, want %s", conn.LocalAddr(), conn.RemoteAddr(), got, want)
	}
}

func eventually(t *testing.T, conn net.Conn, want sockets.State) {
	t.Helper()
	ticker := time.NewTicker(time.Millisecond)
	defer ticker.Stop()
	for deadline := time.Now().Add(10 * time.Second); state(t, conn) != want && time.Now().Before(deadline); {
		<-ticker.C
	}
	check(t, conn, want)
}

// state returns the state of one end of a connection, Closed where the kernel has none.
func state(t *testing.T, conn net.Conn) sockets.State {
	t.Helper()
	local, remote := addr(conn.LocalAddr()), addr(conn.RemoteAddr())
	got := sockets.Closed
	if err := sockets.Each(sockets.All, func(s sockets.Socket) {
		if s.Local == local && s.Remote == remote {
			got = s.State
		}
	}); err != nil {
		t.Fatal(err)
	}
	known, err := sockets.Known(local, remote)
	if err != nil || known != (got != sockets.Closed) {
		t.Errorf("%s to %s is %s, and known: %t, %v", local, remote, got, known, err)
	}
	return got
}

func addr(a net.Addr) netip.AddrPort { return a.(*net.TCPAddr).AddrPort() }

func TestSetting(t *testing.T) {
	for name, want := range map[string]string{"tcp_fin_timeout": `^\d+$`, "ip_local_port_range": `^\d+ \d+$`} {
		if got, err := sockets.Setting(name); err != nil || !regexp.MustCompile(want).MatchString(got) {
			t.Errorf("%s is %q, %v; want %s", name, got, err, want)
		}
	}
	if got, err := sockets.Setting("tcp_tw_recycle"); err == nil {
		t.Errorf("tcp_tw_recycle is %q, want an error", got)
	}
}

func TestCount(t *testing.T) {
	before, err := sockets.Count()
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.(*net.TCPConn).SetLinger(0)
	conn.Close()
	after, err := sockets.Count()
	if err != nil {
		t.Fatal(err)
	}
	if d := after.Sub(before); d.Opened < 1 || d.Resets < 1 {
		t.Errorf("counted %+v", d)
	}
}

// inPrivate is true in a private network, where all sockets are those of the tests.
var inPrivate bool

func TestMain(m *testing.M) {
	if !private.Inside() {
		if status, err := private.Run(private.Outside{}); err == nil {
			os.Exit(status)
		}
		goleak.VerifyTestMain(m) // this system allows no private network
		return
	}
	if _, err := private.Enter(false); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	inPrivate = true
	goleak.VerifyTestMain(m, goleak.IgnoreCurrent())
}

// The bar is 20 ms for all of 20,000 sockets in TIME-WAIT.
func BenchmarkEach(b *testing.B) {
	if !inPrivate {
		b.Skip("20,000 sockets in TIME-WAIT need a private network")
	}
	if err := private.Sysctl("ipv4/tcp_tw_reuse", "0"); err != nil {
		b.Fatal(err)
	}
	leave(b, 20_000-count(b))
	b.ResetTimer()
	longest := time.Duration(0)
	for b.Loop() {
		began := time.Now()
		count(b)
		longest = max(longest, time.Since(began))
	}
	b.ReportMetric(float64(longest)/1e6, "longest-ms")
	b.ReportMetric(float64(count(b)), "TIME-WAIT")
}

func count(b *testing.B) (n int) {
	b.Helper()
	if err := sockets.Each(sockets.All, func(s sockets.Socket) {
		if s.State == sockets.TimeWait {
			n++
		}
	}); err != nil {
		b.Fatal(err)
	}
	return n
}

// leave makes n connections that this end closes first.
func leave(b *testing.B, n int) {
	b.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Read(make([]byte, 1))
			conn.Close()
		}
	}()
	for range n {
		conn, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			b.Fatal(err)
		}
		conn.Close()
	}
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for deadline := time.Now().Add(10 * time.Second); count(b) < n && time.Now().Before(deadline); {
		<-ticker.C // until the last connections are closed at both ends
	}
}
