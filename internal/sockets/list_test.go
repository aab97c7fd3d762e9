//go:build linux

package sockets_test

import (
	"net"
	"net/netip"
	"testing"
	"time"

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
	eventually(t, client, sockets.FinWait2) // its FIN is acknowledged a little later
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
	for deadline := time.Now().Add(10 * time.Second); state(t, conn) != want && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
	check(t, conn, want)
}

// state looks for one end of a connection, Closed where there is none.
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
