package outside

import (
	"context"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"gotimeout/internal/badnet/probe"
)

// Dialer connects to servers outside; private.Process is one.
type Dialer interface {
	Dial(ctx context.Context, network, addr string) (net.Conn, error)
}

// Relay is an address in the private network for a server outside: the Dialer
// connects to the server for each connection to the relay. The bad network lies
// in front of the relay.
//
// A dial to the relay succeeds before the server's: where the server is down, the
// connection is reset instead of refused.
type Relay struct {
	dialer        Dialer
	network, dest string
	listener      net.Listener
	cancel        context.CancelFunc
	failed        chan error
	done          sync.WaitGroup
}

// NewRelay returns a Relay that listens on a TCP address of the private network.
func NewRelay(d Dialer, listen, network, addr string) (*Relay, error) {
	l, err := net.Listen("tcp", listen)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	r := &Relay{dialer: d, network: network, dest: addr, listener: l, cancel: cancel, failed: make(chan error, 1)}
	r.done.Go(func() { r.accept(ctx) })
	return r, nil
}

// Addr is where the relay listens.
func (r *Relay) Addr() string { return r.listener.Addr().String() }

// Failed has the error of a relay that has lost its listener before Close. It is closed
// with the relay.
func (r *Relay) Failed() <-chan error { return r.failed }

// Close resets the connections and waits for their end.
func (r *Relay) Close() error {
	r.cancel()
	err := r.listener.Close()
	r.done.Wait()
	return err
}

func (r *Relay) accept(ctx context.Context) {
	defer close(r.failed)
	for {
		conn, err := probe.Accept(r.listener)
		if err != nil {
			if ctx.Err() == nil {
				r.failed <- fmt.Errorf("the relay to %s has lost its listener: %w", r.dest, err)
			}
			return
		}
		r.done.Go(func() {
			outside, err := r.dialer.Dial(ctx, r.network, r.dest)
			if err != nil {
				probe.Reset(conn)
				return
			}
			join(ctx, conn, outside)
		})
	}
}

// join joins two connections until both directions have ended. Where one fails,
// both connections are reset, as without a relay.
func join(ctx context.Context, inside, outside net.Conn) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { reset(inside); reset(outside) })
	var both sync.WaitGroup
	for _, way := range [][2]net.Conn{{inside, outside}, {outside, inside}} {
		both.Go(func() {
			if _, err := io.Copy(way[1], way[0]); err != nil {
				cancel()
				return
			}
			if half, ok := way[1].(interface{ CloseWrite() error }); ok {
				_ = half.CloseWrite() // the other direction may go on
			}
		})
	}
	both.Wait()
	if stop() {
		inside.Close()
		outside.Close()
	}
}

// reset resets a connection of the kernel's or of the Stack's.
func reset(conn net.Conn) {
	if own, ok := conn.(interface{ Abort() }); ok {
		own.Abort()
		return
	}
	probe.Reset(conn)
}

// The bounds of the flows of datagrams through one address, as of a NAT.
const (
	maxFlows = 1024
	idle     = time.Minute
	datagram = 1 << 16
)

// Datagrams is an address in the private network for a UDP server outside.
type Datagrams struct {
	dialer Dialer
	dest   string
	conn   net.PacketConn
	cancel context.CancelFunc
	failed chan error
	done   sync.WaitGroup

	mu    sync.Mutex
	flows map[string]net.Conn // by the client's address
}

// NewDatagrams returns a relay of datagrams that listens on a UDP address of the
// private network.
func NewDatagrams(d Dialer, listen, addr string) (*Datagrams, error) {
	conn, err := net.ListenPacket("udp", listen)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	r := &Datagrams{dialer: d, dest: addr, conn: conn, cancel: cancel, failed: make(chan error, 1), flows: map[string]net.Conn{}}
	r.done.Go(func() { r.read(ctx) })
	return r, nil
}

// Addr is where the relay listens.
func (r *Datagrams) Addr() string { return r.conn.LocalAddr().String() }

// Failed is as a Relay's.
func (r *Datagrams) Failed() <-chan error { return r.failed }

// Close ends the flows.
func (r *Datagrams) Close() error {
	r.cancel()
	err := r.conn.Close()
	r.done.Wait()
	return err
}

func (r *Datagrams) read(ctx context.Context) {
	defer close(r.failed)
	defer func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		for _, flow := range r.flows {
			flow.Close()
		}
	}()
	b := make([]byte, datagram)
	for {
		n, client, err := r.conn.ReadFrom(b)
		if err != nil {
			if ctx.Err() == nil {
				r.failed <- fmt.Errorf("the relay of datagrams to %s has lost its socket: %w", r.dest, err)
			}
			return
		}
		if flow := r.flow(ctx, client); flow != nil {
			_ = flow.SetReadDeadline(time.Now().Add(idle))
			_, _ = flow.Write(b[:n]) // a datagram that the system refuses is lost
		}
	}
}

// flow returns the client's connection to the server, nil where there can be none.
func (r *Datagrams) flow(ctx context.Context, client net.Addr) net.Conn {
	r.mu.Lock()
	flow, n := r.flows[client.String()], len(r.flows)
	r.mu.Unlock()
	if flow != nil || n >= maxFlows {
		return flow
	}
	flow, err := r.dialer.Dial(ctx, "udp", r.dest)
	if err != nil {
		return nil
	}
	r.mu.Lock()
	r.flows[client.String()] = flow
	r.mu.Unlock()
	r.done.Go(func() { r.answer(flow, client) })
	return flow
}

// answer sends the server's datagrams to the client until the flow is idle.
func (r *Datagrams) answer(flow net.Conn, client net.Addr) {
	defer func() {
		r.mu.Lock()
		delete(r.flows, client.String())
		r.mu.Unlock()
		flow.Close()
	}()
	b := make([]byte, datagram)
	for {
		n, err := flow.Read(b)
		if err != nil {
			return
		}
		_ = flow.SetReadDeadline(time.Now().Add(idle))
		if _, err := r.conn.WriteTo(b[:n], client); err != nil {
			return
		}
	}
}
