package probe

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"syscall"
	"time"

	"gotimeout/internal/stats"
)

// Echo answers probes, over UDP and over TCP.
type Echo struct {
	// Ports are the UDP ports; the first is the TCP port too. A driver can give each
	// port a queue of its own, so that probes don't wait for each other.
	Ports []uint16

	host string
	tcp  net.Listener
	udp  []net.PacketConn
	done sync.WaitGroup
}

// NewEcho returns an Echo on free ports of 127.0.0.1. Close it after use.
func NewEcho(ports int) (*Echo, error) { return NewEchoAt("127.0.0.1", ports) }

// NewEchoAt returns an Echo on free ports of a host. Close it after use.
func NewEchoAt(host string, ports int) (*Echo, error) {
	e := &Echo{host: host}
	if err := e.listen(); err != nil {
		return nil, err
	}
	for len(e.udp) < ports {
		udp, err := net.ListenPacket("udp", net.JoinHostPort(host, "0"))
		if err != nil {
			e.Close()
			return nil, err
		}
		e.udp = append(e.udp, udp)
	}
	for _, udp := range e.udp {
		e.Ports = append(e.Ports, uint16(udp.LocalAddr().(*net.UDPAddr).Port))
		e.done.Go(func() { serveUDP(udp) })
	}
	e.done.Go(e.serveTCP)
	return e, nil
}

// listen listens on one port for TCP and for UDP.
func (e *Echo) listen() (err error) {
	for range 10 { // another program may have the UDP port of the same number
		if e.tcp, err = net.Listen("tcp", net.JoinHostPort(e.host, "0")); err != nil {
			return err
		}
		var udp net.PacketConn
		if udp, err = net.ListenPacket("udp", e.Addr()); err == nil {
			e.udp = append(e.udp, udp)
			return nil
		}
		e.tcp.Close()
	}
	return err
}

// Addr returns the address for TCP, and for UDP too.
func (e *Echo) Addr() string { return e.tcp.Addr().String() }

// Close closes the Echo and its connections.
func (e *Echo) Close() {
	e.tcp.Close()
	for _, udp := range e.udp {
		udp.Close()
	}
	e.done.Wait()
}

func serveUDP(udp net.PacketConn) {
	buf := make([]byte, 1<<16)
	for {
		n, from, err := udp.ReadFrom(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err == nil {
			_, _ = udp.WriteTo(buf[:n], from) // an error counts as a loss
		}
	}
}

// Accept accepts a connection, and waits while too many files are open. Its error
// is that the listener is closed, or that its socket listens no more.
func Accept(l net.Listener) (net.Conn, error) {
	for {
		conn, err := l.Accept()
		if err == nil || errors.Is(err, net.ErrClosed) {
			return conn, err
		}
		for _, lost := range []error{syscall.EBADF, syscall.EINVAL, syscall.ENOTSOCK} {
			if errors.Is(err, lost) {
				return nil, err
			}
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func (e *Echo) serveTCP() {
	var conns sync.Map
	defer conns.Range(func(c, _ any) bool { c.(net.Conn).Close(); return true })
	for {
		conn, err := Accept(e.tcp)
		if err != nil {
			return
		}
		conns.Store(conn, nil)
		e.done.Go(func() {
			_, _ = io.Copy(conn, conn)
			conn.Close()
			conns.Delete(conn)
		})
	}
}

// Size is the payload of a probe, and Packet is its packet's size.
const (
	Size   = 16
	Packet = 20 + 8 + Size
)

// Send sends n probes over a connection to an Echo, with a gap between them, and
// returns the round trips of those that came back before ctx was done, sorted.
func Send(ctx context.Context, conn net.Conn, n int, gap time.Duration) []time.Duration {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	began := time.Now()
	run := rand.Uint32() // tells our answers from late ones to the port's last user
	var sender sync.WaitGroup
	sender.Go(func() {
		b := make([]byte, Size)
		for i := range n {
			time.Sleep(time.Until(began.Add(time.Duration(i) * gap)))
			binary.BigEndian.PutUint32(b, run)
			binary.BigEndian.PutUint32(b[4:], uint32(i))
			binary.BigEndian.PutUint64(b[8:], uint64(time.Since(began)))
			if _, err := conn.Write(b); err != nil {
				return
			}
		}
	})
	defer sender.Wait()
	defer cancel()
	var trips []time.Duration
	seen := make([]bool, n)
	for b := make([]byte, Size); len(trips) < n; {
		if _, err := io.ReadFull(conn, b); err != nil {
			break
		}
		i := binary.BigEndian.Uint32(b[4:])
		if binary.BigEndian.Uint32(b) == run && i < uint32(n) && !seen[i] { // duplicates don't count
			seen[i] = true
			trips = append(trips, time.Since(began)-time.Duration(binary.BigEndian.Uint64(b[8:])))
		}
	}
	slices.Sort(trips)
	return trips
}

// Percentile returns a percentile of sorted times in milliseconds, nil of none.
func Percentile(sorted []time.Duration, p int) *float64 {
	if len(sorted) == 0 {
		return nil
	}
	return Millis(stats.Percentile(sorted, float64(p)))
}

// Millis returns milliseconds.
func Millis(d time.Duration) *float64 {
	ms := float64(d.Round(time.Microsecond)) / float64(time.Millisecond)
	return &ms
}

// Reset closes a connection with a reset: the other end fails at once.
func Reset(conn net.Conn) {
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	conn.Close()
}
