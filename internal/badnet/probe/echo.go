package probe

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"slices"
	"strconv"
	"sync"
	"time"
)

// Echo answers probes: over UDP, where packets can be lost, and over TCP, where
// a dial can be timed and a proxy can stand between, on the same port.
type Echo struct {
	tcp  net.Listener
	udp  net.PacketConn
	Port uint16
	done sync.WaitGroup
}

// NewEcho returns an Echo on a free port of 127.0.0.1. Close it after use.
func NewEcho() (*Echo, error) {
	var last error
	for range 10 { // the port of the one may be taken for the other
		tcp, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		port := tcp.Addr().(*net.TCPAddr).Port
		udp, err := net.ListenPacket("udp", "127.0.0.1:"+strconv.Itoa(port))
		if err != nil {
			tcp.Close()
			last = err
			continue
		}
		e := &Echo{tcp: tcp, udp: udp, Port: uint16(port)}
		e.done.Go(e.serveUDP)
		e.done.Go(e.serveTCP)
		return e, nil
	}
	return nil, last
}

// Addr returns the address of the Echo, for TCP and UDP.
func (e *Echo) Addr() string { return e.tcp.Addr().String() }

// Close closes the Echo and its connections.
func (e *Echo) Close() {
	e.tcp.Close()
	e.udp.Close()
	e.done.Wait()
}

func (e *Echo) serveUDP() {
	buf := make([]byte, 1<<16)
	for {
		n, from, err := e.udp.ReadFrom(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err == nil {
			_, _ = e.udp.WriteTo(buf[:n], from) // one more that is lost
		}
	}
}

// Accept accepts, also after there were too many files open for a while. Its
// error is that the listener is closed.
func Accept(l net.Listener) (net.Conn, error) {
	for {
		conn, err := l.Accept()
		if err == nil || errors.Is(err, net.ErrClosed) {
			return conn, err
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

// probeSize is the payload of a probe, and Packet is its packet's size.
const (
	probeSize = 16
	Packet    = 20 + 8 + probeSize
)

// Send sends n probes with a gap between them and returns the round trips of
// those that came back before ctx was done, sorted.
func Send(ctx context.Context, conn net.Conn, n int, gap time.Duration) []time.Duration {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	began := time.Now()
	var sender sync.WaitGroup
	sender.Go(func() {
		b := make([]byte, probeSize)
		for i := range n {
			time.Sleep(time.Until(began.Add(time.Duration(i) * gap)))
			binary.BigEndian.PutUint64(b, uint64(i))
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
	for b := make([]byte, probeSize); len(trips) < n; {
		if _, err := io.ReadFull(conn, b); err != nil {
			break
		}
		i := binary.BigEndian.Uint64(b)
		if i < uint64(n) && !seen[i] { // a copy of one tells nothing
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
	return Millis(sorted[(len(sorted)-1)*p/100])
}

// Millis returns milliseconds.
func Millis(d time.Duration) *float64 {
	ms := float64(d.Round(time.Microsecond)) / float64(time.Millisecond)
	return &ms
}

// Reset closes a connection in a way that the other end notices at once.
func Reset(conn net.Conn) {
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	conn.Close()
}
