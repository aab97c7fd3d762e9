package outside_test

import (
	"context"
	"errors"
	"flag"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"gotimeout/internal/badnet/outside"
	"gotimeout/internal/badnet/private/privatetest"

	"go.uber.org/goleak"
)

// refused is the reason to skip the tests that need a private network, or nil.
var refused error

// TestMain runs the tests in a private network, where the system allows one.
func TestMain(m *testing.M) {
	flag.Parse()
	if flag.Lookup("test.fuzz").Value.String() != "" {
		os.Exit(m.Run()) // the fuzzer passes files to its workers, so it stays outside
	}
	refused = privatetest.Enter()
	goleak.VerifyTestMain(m, goleak.IgnoreCurrent())
}

// direct dials as the process outside does.
type direct struct{ net.Dialer }

func (d *direct) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	return d.DialContext(ctx, network, addr)
}

// patience bounds what never takes that long.
const patience = 30 * time.Second

// listen returns a listener, of which serve gets each connection.
func listen(t *testing.T, serve func(*net.TCPConn)) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan bool)
	go func() {
		defer close(ended)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			serve(conn.(*net.TCPConn))
			conn.Close()
		}
	}()
	t.Cleanup(func() { l.Close(); <-ended })
	return l
}

// through returns a connection to addr through a relay, nil where the dial was reset.
func through(t *testing.T, addr string) *net.TCPConn {
	t.Helper()
	r, err := outside.NewRelay(new(direct), "127.0.0.1:0", "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	conn, err := net.Dial("tcp", r.Addr())
	if errors.Is(err, syscall.ECONNRESET) {
		return nil // the reset came before the dial's return
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(patience))
	return conn.(*net.TCPConn)
}

// A client that has sent all still gets the answer.
func TestRelayHalfClose(t *testing.T) {
	server := listen(t, func(conn *net.TCPConn) {
		all, _ := io.ReadAll(conn)
		_, _ = conn.Write(append([]byte("got "), all...))
	})
	conn := through(t, server.Addr().String())
	if _, err := io.WriteString(conn, "all"); err != nil {
		t.Fatal(err)
	}
	if err := conn.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if answer, err := io.ReadAll(conn); string(answer) != "got all" || err != nil {
		t.Errorf("%q, %v", answer, err)
	}
}

// A reset of the server, and a server that is down, are a reset for the client.
func TestRelayResets(t *testing.T) {
	resets := listen(t, func(conn *net.TCPConn) { _ = conn.SetLinger(0) })
	down := listen(t, nil)
	down.Close()
	for name, server := range map[string]net.Listener{"resets": resets, "is down": down} {
		conn := through(t, server.Addr().String())
		if conn == nil {
			continue
		}
		if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("a server that %s: %v", name, err)
		}
	}
}

// Close ends a connection whose ends would go on for ever.
func TestRelayClose(t *testing.T) {
	over := make(chan bool)
	defer close(over)
	accepted := make(chan bool, 1)
	server := listen(t, func(*net.TCPConn) { accepted <- true; <-over })
	r, err := outside.NewRelay(new(direct), "127.0.0.1:0", "tcp", server.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp", r.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	<-accepted
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	_ = conn.SetDeadline(time.Now().Add(patience))
	if _, err := conn.Read(make([]byte, 1)); err == nil || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the connection is still open: %v", err)
	}
}

// answerDatagrams sends each datagram back, with a prefix, until the end of the test.
func answerDatagrams(t *testing.T, prefix string) net.PacketConn {
	t.Helper()
	server, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan bool)
	go func() {
		defer close(ended)
		b := make([]byte, 1<<16)
		for {
			n, client, err := server.ReadFrom(b)
			if err != nil {
				return
			}
			_, _ = server.WriteTo(append([]byte(prefix), b[:n]...), client)
		}
	}()
	t.Cleanup(func() { server.Close(); <-ended })
	return server
}

// Each client gets the answers to its own datagrams.
func TestDatagrams(t *testing.T) {
	server := answerDatagrams(t, "got ")
	r, err := outside.NewDatagrams(new(direct), "127.0.0.1:0", server.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	clients := map[string]net.Conn{"a": nil, "b": nil}
	for name := range clients {
		if clients[name], err = net.Dial("udp", r.Addr()); err != nil {
			t.Fatal(err)
		}
		defer clients[name].Close()
	}
	for range 2 { // the second time over the flow of the first
		for name, conn := range clients {
			_ = conn.SetDeadline(time.Now().Add(patience))
			if _, err := io.WriteString(conn, name); err != nil {
				t.Fatal(err)
			}
			b := make([]byte, 100)
			if n, err := conn.Read(b); string(b[:n]) != "got "+name || err != nil {
				t.Errorf("%s: %q, %v", name, b[:n], err)
			}
		}
	}
}
