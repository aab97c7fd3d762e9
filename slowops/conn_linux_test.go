package slowops_test

import (
	"net"
	"testing"

	"gotimeout/slowops"

	"golang.org/x/sys/unix"
)

func TestEnding(t *testing.T) {
	reset := func(t *testing.T, server *net.TCPConn) {
		if err := server.SetLinger(0); err != nil {
			t.Error(err)
		}
		server.Close()
	}
	for name, tc := range map[string]struct {
		server func(t *testing.T, server *net.TCPConn)
		reads  bool // the client reads until an error before it closes
		want   string
	}{
		"the server works":                  {func(*testing.T, *net.TCPConn) {}, false, slowops.EndFIN},
		"the server closed":                 {func(_ *testing.T, s *net.TCPConn) { s.Close() }, false, slowops.EndPeer},
		"the server closed, and was read":   {func(_ *testing.T, s *net.TCPConn) { s.Close() }, true, slowops.EndPeer},
		"unread":                            {func(_ *testing.T, s *net.TCPConn) { s.Write([]byte("late")) }, false, slowops.EndRST},
		"unread, and the server closed":     {func(_ *testing.T, s *net.TCPConn) { s.Write([]byte("late")); s.Close() }, false, slowops.EndRST},
		"the server reset":                  {reset, false, slowops.EndRST},
		"the server reset, and it was read": {reset, true, slowops.EndRST},
	} {
		t.Run(name, func(t *testing.T) {
			client, server := tcpPair(t)
			tc.server(t, server)
			eventually(t, "the server's doing has come", func() bool { return name == "the server works" || readable(t, client) })
			if tc.reads {
				_, _ = client.Read(make([]byte, 9))
			}
			if got := slowops.Ending(client); got != tc.want {
				t.Errorf("%q, want %q", got, tc.want)
			}
		})
	}
}

// tcpPair returns the two ends of a connection.
func tcpPair(t *testing.T) (client, server *net.TCPConn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	dialed, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	accepted, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dialed.Close(); accepted.Close() })
	return dialed.(*net.TCPConn), accepted.(*net.TCPConn)
}

// readable reports whether there are bytes, an end or an error to read.
func readable(t *testing.T, conn *net.TCPConn) (yes bool) {
	t.Helper()
	raw, err := conn.SyscallConn()
	if err == nil {
		err = raw.Control(func(fd uintptr) {
			n, _ := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN | unix.POLLRDHUP}}, 0)
			yes = n > 0
		})
	}
	if err != nil {
		t.Fatal(err)
	}
	return yes
}
