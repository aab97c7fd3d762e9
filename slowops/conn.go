package slowops

import (
	"cmp"
	"context"
	"errors"
	"net"
	"os"
	"sync/atomic"
	"syscall"
	"time"
)

// conn is a connection that tells the call that holds it when it is closed.
type conn struct {
	net.Conn
	holder   atomic.Pointer[Call]
	closed   atomic.Bool
	timedOut atomic.Bool // a read or a write ran into its deadline
	place    place
}

// place is the address of a server, and where it is dialled instead, if it is.
type place struct{ addr, via string }

func (p place) Network() string { return "tcp" }
func (p place) String() string  { return p.addr + " via " + p.via }

// name puts the server's address into an error of net's, where it has only the
// one that was dialled.
func (p place) name(err error) error {
	if e, ok := err.(*net.OpError); ok && p.via != "" {
		e.Addr = p
	}
	return err
}

// dial connects for c, which holds the connection from then on.
func dial(ctx context.Context, c *Call, network string, p place) (*conn, error) {
	call(c.Dialed)
	// net/http detaches a dial from its request's end (https://go.dev/issue/59017).
	dialer := net.Dialer{Timeout: cmp.Or(c.IOTimeout, c.Limit)}
	nc, err := dialer.DialContext(ctx, network, cmp.Or(p.via, p.addr))
	if err != nil {
		return nil, p.name(err)
	}
	cn := &conn{Conn: nc, place: p}
	cn.holder.Store(c)
	return cn, nil
}

// idleTimeout closes idle connections. A burst uses as many as it needs again
// and again; a second later, what is still there was left behind, and every
// call on a quiet pool begins alike, with a new connection.
const idleTimeout = time.Second

// hold makes c the call that is told, release ends that unless another call
// has taken the connection in the meantime.
func (cn *conn) hold(c *Call) { cn.holder.Store(c) }
func (cn *conn) release(c *Call) {
	if cn.holder.CompareAndSwap(c, nil) && !cn.closed.Load() {
		call(c.Kept)
	}
}

// Close closes the connection and tells its holder, once.
func (cn *conn) Close() error {
	if cn.closed.CompareAndSwap(false, true) {
		if c := cn.holder.Load(); c != nil && c.Closed != nil {
			c.Closed(end(cn.Conn))
		}
	}
	return cn.Conn.Close()
}

func (cn *conn) Read(b []byte) (int, error) {
	n, err := cn.Conn.Read(b)
	return n, cn.note(err)
}

func (cn *conn) Write(b []byte) (int, error) {
	n, err := cn.Conn.Write(b)
	return n, cn.note(err)
}

func (cn *conn) note(err error) error {
	if err != nil && errors.Is(err, os.ErrDeadlineExceeded) {
		cn.timedOut.Store(true)
	}
	return cn.place.name(err)
}

// SyscallConn lets go-sql-driver look whether an idle connection is still alive.
func (cn *conn) SyscallConn() (syscall.RawConn, error) {
	if sc, ok := cn.Conn.(syscall.Conn); ok {
		return sc.SyscallConn()
	}
	return nil, errors.ErrUnsupported
}
