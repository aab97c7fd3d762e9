package network

import (
	"context"
	"io"
	"net"
	"sync"

	"gotimeout/internal/badnet/private"
)

// carrier stands in the private network for a server outside: what is dialled
// here is carried on by the process outside. The bad network lies before it.
//
// A dial to it succeeds before the server's own: a server that is down resets
// the connection instead of refusing it.
type carrier struct {
	process       *private.Process
	network, dest string
	listener      net.Listener
	cancel        context.CancelFunc
	done          sync.WaitGroup
}

func newCarrier(p *private.Process, network, addr string) (*carrier, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	c := &carrier{process: p, network: network, dest: addr, listener: l, cancel: cancel}
	c.done.Go(func() { c.accept(ctx) })
	return c, nil
}

func (c *carrier) addr() string { return c.listener.Addr().String() }

func (c *carrier) close() {
	c.cancel()
	c.listener.Close()
	c.done.Wait()
}

func (c *carrier) accept(ctx context.Context) {
	for {
		conn, err := accept(c.listener)
		if err != nil {
			return
		}
		c.done.Go(func() { c.carry(ctx, conn) })
	}
}

// carry joins a connection with one to the server, until both directions have
// ended or one has failed: then both are reset, as the server or the client
// would have seen it.
func (c *carrier) carry(ctx context.Context, inside net.Conn) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	outside, err := c.process.Dial(ctx, c.network, c.dest)
	if err != nil {
		reset(inside)
		return
	}
	context.AfterFunc(ctx, func() { reset(inside); reset(outside) })
	var both sync.WaitGroup
	for _, way := range [][2]net.Conn{{inside, outside}, {outside, inside}} {
		both.Go(func() {
			if _, err := io.Copy(way[1], way[0]); err != nil {
				cancel()
				return
			}
			if half, ok := way[1].(interface{ CloseWrite() error }); ok {
				_ = half.CloseWrite() // the other way may go on
			}
		})
	}
	both.Wait()
	inside.Close()
	outside.Close()
}

// reset closes a connection in a way that the other end notices at once.
func reset(conn net.Conn) {
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	conn.Close()
}
