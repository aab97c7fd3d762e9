package network

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

// echo answers probes: over UDP, where packets can be lost, and over TCP, where
// a dial can be timed and a proxy can stand between, on the same port.
type echo struct {
	tcp  net.Listener
	udp  net.PacketConn
	port uint16
	done sync.WaitGroup
}

func newEcho() (*echo, error) {
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
		e := &echo{tcp: tcp, udp: udp, port: uint16(port)}
		e.done.Go(e.serveUDP)
		e.done.Go(e.serveTCP)
		return e, nil
	}
	return nil, last
}

func (e *echo) addr() string { return e.tcp.Addr().String() }

func (e *echo) close() {
	e.tcp.Close()
	e.udp.Close()
	e.done.Wait()
}

func (e *echo) serveUDP() {
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

// accept accepts, also after there were too many files open for a while. Its
// error is that the listener is closed.
func accept(l net.Listener) (net.Conn, error) {
	for {
		conn, err := l.Accept()
		if err == nil || errors.Is(err, net.ErrClosed) {
			return conn, err
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func (e *echo) serveTCP() {
	var conns sync.Map
	defer conns.Range(func(c, _ any) bool { c.(net.Conn).Close(); return true })
	for {
		conn, err := accept(e.tcp)
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

// probeSize is the payload of a probe, and probePacket its packet's size.
const (
	probeSize   = 16
	probePacket = 20 + 8 + probeSize
)

// probe sends n probes with a gap between them and returns the round trips of
// those that came back before ctx was done, sorted.
func probe(ctx context.Context, conn net.Conn, n int, gap time.Duration) []time.Duration {
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

// percentile is of what is sorted, nil where there is nothing.
func percentile(sorted []time.Duration, p int) *float64 {
	if len(sorted) == 0 {
		return nil
	}
	return millis(sorted[(len(sorted)-1)*p/100])
}

func millis(d time.Duration) *float64 {
	ms := float64(d.Round(time.Microsecond)) / float64(time.Millisecond)
	return &ms
}
