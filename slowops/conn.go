package slowops

import (
	"cmp"
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"sync/atomic"
	"syscall"
	"time"
)

// conn is a connection that tells the call that holds it when it is closed.
type conn struct {
	net.Conn
	holder atomic.Pointer[Call]
	closed atomic.Bool
	failed atomic.Pointer[error] // the first error of a read or a write
	place  place

	op     string       // whose reads and writes are phases; "" where something else tells of them
	last   phase        // the reader's and writer's, who is one goroutine where op is set
	silent atomic.Int64 // how long a read may take; 0 is no bound
}

// phase is what a call last did with the connection.
type phase struct {
	of   *Call
	name string
	end  func(error)
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
	dialer := net.Dialer{Timeout: cmp.Or(c.ConnectTimeout, c.IOTimeout, c.Limit)}
	nc, err := dialer.DialContext(ctx, network, cmp.Or(p.via, p.addr))
	if err != nil {
		return nil, p.name(err)
	}
	cn := &conn{Conn: nc, place: p}
	cn.holder.Store(c)
	return cn, nil
}

// dialPhases is dial for an op whose driver tells nothing of what it does: the
// dial, the reads and the writes are its phases.
func dialPhases(ctx context.Context, c *Call, op, network string, p place) (*conn, error) {
	end := c.phase(op, "dial")
	cn, err := dial(ctx, c, network, p)
	end(err)
	if err == nil {
		cn.op = op
	}
	return cn, err
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

// bound ends the read that goes on, and every later one, after d.
func (cn *conn) bound(d time.Duration) {
	cn.silent.Store(int64(d))
	_ = cn.SetReadDeadline(time.Now().Add(d))
}

func (cn *conn) Read(b []byte) (int, error) {
	if silent := time.Duration(cn.silent.Load()); silent > 0 {
		_ = cn.SetReadDeadline(time.Now().Add(silent))
	}
	end := cn.phase("read")
	n, err := cn.Conn.Read(b)
	end(err)
	err = cn.note(err)
	// It may have been bound while it went on.
	if silent := time.Duration(cn.silent.Load()); silent > 0 && errors.Is(err, os.ErrDeadlineExceeded) {
		err = &Failure{code: readTimeout, within: silent, err: err}
	}
	return n, err
}

func (cn *conn) Write(b []byte) (int, error) {
	end := cn.phase("write")
	n, err := cn.Conn.Write(b)
	end(err)
	return n, cn.note(err)
}

// phase begins a phase, or goes on with the last one where it is of that name:
// an answer may take several reads.
func (cn *conn) phase(name string) (end func(error)) {
	c := cn.holder.Load()
	if cn.op == "" || c == nil {
		return func(error) {}
	}
	if cn.last.of != c || cn.last.name != name {
		cn.last = phase{c, name, c.phase(cn.op, name)}
	}
	return cn.last.end
}

func (cn *conn) note(err error) error {
	if err != nil {
		cn.failed.CompareAndSwap(nil, &err)
	}
	return cn.place.name(err)
}

// why returns the first error of a read or a write, which the drivers hide.
func (cn *conn) why() error {
	if err := cn.failed.Load(); err != nil {
		return *err
	}
	return nil
}

// SyscallConn lets go-sql-driver look whether an idle connection is still alive.
func (cn *conn) SyscallConn() (syscall.RawConn, error) {
	if sc, ok := cn.Conn.(syscall.Conn); ok {
		return sc.SyscallConn()
	}
	return nil, errors.ErrUnsupported
}

// How the end of a connection looked from here, at the close.
const (
	EndFIN  = "fin_by_us"   // this end says goodbye first; data that comes after that is answered by a RST
	EndPeer = "fin_by_peer" // the server had said goodbye before
	EndRST  = "rst"         // reset, by either end: for data was unread here, or the server has
	endNone = ""            // the system doesn't tell
)

// end tells how closing the connection is going to end it, and which it is.
func end(nc net.Conn) (how string, local, remote netip.AddrPort) {
	tcp, ok := nc.(*net.TCPConn)
	if !ok {
		return endNone, local, remote
	}
	if a, ok := tcp.LocalAddr().(*net.TCPAddr); ok {
		local = a.AddrPort()
	}
	if a, ok := tcp.RemoteAddr().(*net.TCPAddr); ok {
		remote = a.AddrPort()
	}
	return ending(tcp), local, remote
}
