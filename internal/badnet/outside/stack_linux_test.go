package outside_test

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"gotimeout/internal/badnet"
	"gotimeout/internal/badnet/outside"
	"gotimeout/internal/badnet/tun"
)

// hosts are the hosts outside, by the addresses of one family.
type hosts struct {
	near        string // as near as can be: on this loopback
	unreachable string
	silent      string // drops each packet
	good        string // not on this bad loopback
	slow        string // near, by a dial that takes its time
	writer      string // refuses datagrams, which the write is told
}

var (
	four = hosts{"10.0.0.5", "10.0.0.9", "10.0.0.8", "10.0.0.7", "10.0.0.6", "10.0.0.4"}
	six  = hosts{"2001:db8::5", "2001:db8::9", "2001:db8::8", "2001:db8::7", "2001:db8::6", "2001:db8::4"}
)

// refusing is a connection whose Write is told of the refusal, and whose Read waits.
type refusing struct{ net.Conn }

func (refusing) Write([]byte) (int, error) { return 0, syscall.ECONNREFUSED }

// far has the hosts of both families.
type far struct {
	direct
	asked chan bool // a dial to a good one
}

func (f *far) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	host, port, _ := net.SplitHostPort(addr)
	switch host {
	case four.unreachable, six.unreachable:
		return nil, &net.OpError{Op: "dial", Net: network, Err: syscall.ENETUNREACH}
	case four.silent, six.silent:
		<-ctx.Done()
		return nil, ctx.Err()
	case four.good, six.good:
		f.asked <- true
		conn, other := net.Pipe()
		return conn, other.Close()
	case four.writer, six.writer:
		conn, _ := net.Pipe()
		return refusing{conn}, nil
	case four.slow, six.slow:
		time.Sleep(50 * time.Millisecond)
	}
	return f.direct.Dial(ctx, network, "127.0.0.1:"+port)
}

// dialFar dials the port of a server on this loopback at another address.
func dialFar(network, host string, server net.Addr) (net.Conn, error) {
	_, port, _ := net.SplitHostPort(server.String())
	conn, err := net.DialTimeout(network, net.JoinHostPort(host, port), patience)
	if err == nil {
		_ = conn.SetDeadline(time.Now().Add(patience))
	}
	return conn, err
}

// The one driver of this process has its routes until the process ends, and so there
// is one test.
func TestStack(t *testing.T) {
	if refused != nil {
		t.Skip(refused)
	}
	driver, err := tun.Open(1)
	if err != nil {
		t.Skip(err)
	}
	apply(t, driver, "none")
	all := &far{asked: make(chan bool, 1)}
	s, err := outside.NewStack(all, driver)
	if err != nil {
		t.Fatal(err)
	}
	each := func(name string, test func(*testing.T, hosts)) {
		t.Run(name+" by IPv4", func(t *testing.T) { test(t, four) })
		t.Run(name+" by IPv6", func(t *testing.T) { test(t, six) })
	}
	for name, test := range map[string]func(*testing.T, hosts){
		"half close": stackHalfClose, "a server's reset": stackReset, "a client's reset": stackClientReset,
		"refused": stackRefused, "unreachable": stackUnreachable, "datagrams": stackDatagrams, "many bytes": stackBytes,
		"datagrams at once": stackDatagramsAtOnce, "a port again": stackPortAgain, "refused at a write": stackRefusedAtWrite,
	} {
		each(name, test)
	}
	// A copy that is later than its packet, which is due at once, must wake the driver too.
	for _, profile := range []string{"loss=2% duplicate=2% reorder=2% delay=1ms", "rate=50mbit", "duplicate=100% down.delay=20ms down.reorder=50%", "corrupt=1%"} {
		apply(t, driver, profile)
		each("many bytes, "+profile, stackBytes)
	}
	apply(t, driver, "up.corrupt=50%")
	each("corrupted datagrams", stackCorrupted)
	apply(t, driver, "delay=300ms")
	each("delay", stackDelay)
	for _, at := range []hosts{four, six} {
		apply(t, driver, "none")
		t.Run("the end by "+at.near, func(t *testing.T) { stackEnd(t, at, s) })
		if s, err = outside.NewStack(all, driver); err != nil {
			t.Fatal(err)
		}
		apply(t, driver, "down.loss=100%")
		t.Run("the end of a handshake by "+at.near, func(t *testing.T) { stackEndOfHandshake(t, at, s, all.asked) })
		if s, err = outside.NewStack(all, driver); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(s.Close(), driver.Close()); err != nil {
		t.Error(err)
	}
}

func apply(t *testing.T, d badnet.Driver, text string) {
	t.Helper()
	p, err := badnet.Parse(text)
	if err == nil {
		err = d.Apply(badnet.Plan{All: p})
	}
	if err != nil {
		t.Fatal(err)
	}
}

func stackHalfClose(t *testing.T, at hosts) {
	server := listen(t, func(conn *net.TCPConn) {
		all, _ := io.ReadAll(conn)
		_, _ = conn.Write(append([]byte("got "), all...))
	})
	conn, err := dialFar("tcp", at.near, server.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "all"); err != nil {
		t.Fatal(err)
	}
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if answer, err := io.ReadAll(conn); string(answer) != "got all" || err != nil {
		t.Errorf("%q, %v", answer, err)
	}
}

func stackReset(t *testing.T, at hosts) {
	server := listen(t, func(conn *net.TCPConn) {
		_, _ = io.ReadFull(conn, make([]byte, 1)) // the dial is over
		_ = conn.SetLinger(0)
	})
	conn, err := dialFar("tcp", at.near, server.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, _ = conn.Write([]byte("x"))
	if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Error(err)
	}
}

// The port of a connection that the server has closed can have another one at once.
func stackPortAgain(t *testing.T, at hosts) {
	server := listen(t, func(*net.TCPConn) {}) // closes it
	_, port, _ := net.SplitHostPort(server.Addr().String())
	dialer := net.Dialer{Timeout: patience}
	var last error
	for began := time.Now(); time.Since(began) < patience; time.Sleep(10 * time.Millisecond) {
		conn, err := dialer.Dial("tcp", net.JoinHostPort(at.near, port))
		if last = err; errors.Is(err, syscall.EADDRINUSE) {
			continue // the kernel waits for the ACK of its FIN
		}
		if err != nil {
			break
		}
		again := dialer.LocalAddr != nil
		dialer.LocalAddr = conn.LocalAddr()
		_ = conn.SetDeadline(time.Now().Add(patience))
		if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Error(err)
		}
		conn.Close()
		if again {
			return
		}
	}
	t.Error(last)
}

func stackClientReset(t *testing.T, at hosts) {
	ended := make(chan error, 1)
	server := listen(t, func(conn *net.TCPConn) {
		_ = conn.SetDeadline(time.Now().Add(patience))
		_, err := io.Copy(io.Discard, conn)
		ended <- err
	})
	conn, err := dialFar("tcp", at.near, server.Addr())
	if err != nil {
		t.Fatal(err)
	}
	_, _ = conn.Write([]byte("x"))
	_ = conn.(*net.TCPConn).SetLinger(0)
	conn.Close()
	if err := <-ended; !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the server has %v", err)
	}
}

// A server that is down refuses, as it would without a stack between.
func stackRefused(t *testing.T, at hosts) {
	down := listen(t, nil)
	down.Close()
	if _, err := dialFar("tcp", at.near, down.Addr()); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("tcp: %v", err)
	}
	conn, err := dialFar("udp", at.near, down.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, _ = conn.Write([]byte("x"))
	if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("udp: %v", err)
	}
}

// A program gets the refusal of its datagram, whichever call outside was told of it.
func stackRefusedAtWrite(t *testing.T, at hosts) {
	conn, err := dialFar("udp", at.writer, &net.UDPAddr{Port: 9})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, _ = conn.Write([]byte("x"))
	if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Error(err)
	}
}

// A host that can't be reached fails a dial at once; a host that drops packets does not.
func stackUnreachable(t *testing.T, at hosts) {
	l := listen(t, nil)
	if _, err := dialFar("tcp", at.unreachable, l.Addr()); !errors.Is(err, syscall.EHOSTUNREACH) {
		t.Error(err)
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	var timeout net.Error
	if _, err := net.DialTimeout("tcp", net.JoinHostPort(at.silent, port), 300*time.Millisecond); !errors.As(err, &timeout) || !timeout.Timeout() {
		t.Error(err)
	}
}

func stackDatagrams(t *testing.T, at hosts) {
	server := answerDatagrams(t, "")
	conn, err := dialFar("udp", at.near, server.LocalAddr())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for _, size := range []int{1, 1400, 5000, 40_000} { // the last two in fragments
		sent := strings.Repeat("x", size)
		if _, err := io.WriteString(conn, sent); err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 1<<16)
		if n, err := conn.Read(b); string(b[:n]) != sent || err != nil {
			t.Errorf("%d of %d bytes, %v", n, size, err)
		}
	}
}

// The datagrams that come before the way outside is there wait for it.
func stackDatagramsAtOnce(t *testing.T, at hosts) {
	server := answerDatagrams(t, "")
	conn, err := dialFar("udp", at.slow, server.LocalAddr())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	const datagrams = 20
	for i := range datagrams {
		if _, err := conn.Write([]byte{byte(i)}); err != nil {
			t.Fatal(err)
		}
	}
	b := make([]byte, 2)
	for i := range datagrams {
		if n, err := conn.Read(b); n != 1 || int(b[0]) != i || err != nil {
			t.Fatalf("of datagram %d came %x, %v", i, b[:n], err)
		}
	}
}

// A datagram comes as it was sent or not at all, also one in fragments.
func stackCorrupted(t *testing.T, at hosts) {
	server, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	conn, err := dialFar("udp", at.near, server.LocalAddr())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	const datagrams = 400
	whole := []string{strings.Repeat("x", 64), strings.Repeat("y", 3000)}
	for i := range datagrams {
		if _, err := io.WriteString(conn, whole[i%2]); err != nil {
			t.Fatal(err)
		}
	}
	b := make([]byte, 1<<16)
	for came := 0; ; came++ {
		_ = server.SetReadDeadline(time.Now().Add(time.Second))
		n, _, err := server.ReadFrom(b)
		if err != nil {
			if came == 0 || came > datagrams*3/4 {
				t.Errorf("%d of %d datagrams came", came, datagrams)
			}
			return
		}
		if got := string(b[:n]); got != whole[0] && got != whole[1] {
			t.Fatalf("a datagram of %d bytes is corrupted", n)
		}
	}
}

// All bytes arrive in their order, both ways at once.
func stackBytes(t *testing.T, at hosts) {
	server := listen(t, func(conn *net.TCPConn) { _, _ = io.Copy(conn, conn) })
	conn, err := dialFar("tcp", at.near, server.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	const size = 1 << 20
	go func() {
		b := make([]byte, size)
		for i := range b {
			b[i] = byte(i % 251)
		}
		_, _ = conn.Write(b)
		_ = conn.(*net.TCPConn).CloseWrite()
	}()
	b, err := io.ReadAll(conn)
	if len(b) != size || err != nil {
		t.Fatalf("%d bytes, %v", len(b), err)
	}
	for i := range b {
		if b[i] != byte(i%251) {
			t.Fatalf("byte %d is wrong", i)
		}
	}
}

// The dial takes a round trip, for the server is as near as can be.
func stackDelay(t *testing.T, at hosts) {
	server := listen(t, func(conn *net.TCPConn) { _, _ = io.Copy(io.Discard, conn) })
	began := time.Now()
	conn, err := dialFar("tcp", at.near, server.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if took := time.Since(began); took < 600*time.Millisecond {
		t.Errorf("the dial took %s", took)
	}
}

// Close ends a connection whose ends would go on for ever.
func stackEnd(t *testing.T, at hosts, s *outside.Stack) {
	over, carried := make(chan bool), make(chan bool)
	server := listen(t, func(conn *net.TCPConn) {
		_, _ = io.ReadFull(conn, make([]byte, 1)) // the stack's handshake is over
		close(carried)
		<-over
	})
	defer close(over)
	conn, err := dialFar("tcp", at.near, server.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, _ = conn.Write([]byte("x"))
	<-carried
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the connection is still open: %v", err)
	}
}

// Close ends a handshake whose client gets no answer, which would go on for two minutes.
func stackEndOfHandshake(t *testing.T, at hosts, s *outside.Stack, asked <-chan bool) {
	conn, err := net.DialTimeout("tcp", net.JoinHostPort(at.good, "80"), 300*time.Millisecond)
	if <-asked; err == nil {
		conn.Close()
		t.Error("a dial got an answer over down.loss=100%")
	}
	began := time.Now()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if took := time.Since(began); took > patience {
		t.Errorf("Close took %s", took)
	}
}
