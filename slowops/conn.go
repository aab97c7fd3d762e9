package slowops

import (
	"cmp"
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// conn is a connection whose close is reported to the call that holds it.
type conn struct {
	net.Conn
	holder atomic.Pointer[Call]
	closed atomic.Bool
	failed atomic.Pointer[error] // the first error of a read or a write
	place  place

	dialing atomic.Pointer[func()] // ends a dial of net/http that goes on; nil where none does

	op          string       // reads and writes are phases of this op; "" where something else reports the phases
	last        phase        // of op; its reader and its writer are one goroutine
	readTimeout atomic.Int64 // of each read; 0 is no bound
}

// phase is the last phase of a call on the connection.
type phase struct {
	of   *Call
	name string
	end  func(error)
}

// place is the address of a server, and via the one that is dialed instead, or "".
type place struct{ addr, via string }

func (p place) Network() string { return "tcp" }
func (p place) String() string  { return p.addr + " via " + p.via }

// name adds the server's address to an error of package net that has only the dialed
// address.
func (p place) name(err error) error {
	if e, ok := err.(*net.OpError); ok && p.via != "" {
		e.Addr = p
	}
	return err
}

// dial connects for c, which then holds the connection.
func dial(ctx context.Context, c *Call, network string, p place) (*conn, error) {
	call(c.Dialed)
	// net/http doesn't cancel a dial when its request ends (https://go.dev/issue/59017).
	dialer := net.Dialer{Timeout: cmp.Or(c.ConnectTimeout, c.IOTimeout, c.Limit)}
	nc, err := dialer.DialContext(ctx, network, cmp.Or(p.via, p.addr))
	if err != nil {
		return nil, p.name(err)
	}
	cn := &conn{Conn: nc, place: p}
	cn.holder.Store(c)
	return cn, nil
}

// dialPhases is dial for an op whose driver reports no phases: the dial, the reads
// and the writes are the phases.
func dialPhases(ctx context.Context, c *Call, op, network string, p place) (*conn, error) {
	end := c.phase(op, "dial")
	cn, err := dial(ctx, c, network, p)
	end(err)
	if err == nil {
		cn.op = op
	}
	return cn, err
}

// dials counts the dials of a call that go on. All that have begun must end.
type dials struct {
	mu       sync.Mutex
	going    int
	tell     func() (ended func()) // nil until the call has returned
	outlived []func()              // the ends to tell, one for each that goes on then
}

// begin may be called after the call has returned: a pool dials on a goroutine of its own.
func (d *dials) begin() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.going++
	if d.tell != nil {
		d.outlived = append(d.outlived, d.tell())
	}
}

// end ends one of the dials, whichever it is.
func (d *dials) end() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.going--
	if last := len(d.outlived) - 1; last >= 0 {
		d.outlived[last]()
		d.outlived = d.outlived[:last]
	}
}

// outlive tells c, which returns now, of the dials that go on, and of those that begin later.
func (d *dials) outlive(c *Call, remedy string) {
	if c.Outlived == nil {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.tell = func() (ended func()) { return c.Outlived(remedy) }
	for range d.going {
		d.outlived = append(d.outlived, d.tell())
	}
}

// idleTimeout is how long a pool keeps an idle connection. It is long enough for
// the calls of a burst to share connections. A second after the burst the pools are
// empty, so a connection that is still open was left behind, and the first call of
// the next burst dials.
const idleTimeout = time.Second

// room is the room of an op for idle connections.
type room struct {
	most  int32
	taken atomic.Int32
}

// take takes the room of one connection, if there is any.
func (r *room) take() bool {
	if r.taken.Add(1) <= r.most {
		return true
	}
	r.taken.Add(-1)
	return false
}

func (r *room) give() { r.taken.Add(-1) }

// hold makes c the holder, to which the close is reported. release ends that,
// unless another call has taken the connection in the meantime.
func (cn *conn) hold(c *Call) { cn.holder.Store(c); cn.endDial() }
func (cn *conn) release(c *Call) {
	if cn.holder.CompareAndSwap(c, nil) && !cn.closed.Load() {
		call(c.Kept)
	}
}

// endDial ends the dial of the connection, if that goes on.
func (cn *conn) endDial() {
	if end := cn.dialing.Swap(nil); end != nil {
		(*end)()
	}
}

// Close closes the connection and reports that to its holder, once.
func (cn *conn) Close() error {
	cn.endDial()
	if cn.closed.CompareAndSwap(false, true) {
		if c := cn.holder.Load(); c != nil && c.Closed != nil {
			c.Closed(end(cn.Conn))
		}
	}
	return cn.Conn.Close()
}

// boundReads bounds the read that goes on, from now, and each later read by d.
func (cn *conn) boundReads(d time.Duration) {
	cn.readTimeout.Store(int64(d))
	_ = cn.SetReadDeadline(time.Now().Add(d))
}

func (cn *conn) Read(b []byte) (int, error) {
	if d := time.Duration(cn.readTimeout.Load()); d > 0 {
		_ = cn.SetReadDeadline(time.Now().Add(d))
	}
	end := cn.phase("read")
	n, err := cn.Conn.Read(b)
	end(err)
	err = cn.note(err)
	// boundReads may have been called during the read.
	if d := time.Duration(cn.readTimeout.Load()); d > 0 && errors.Is(err, os.ErrDeadlineExceeded) {
		err = &Failure{code: readTimeout, within: d, err: err}
	}
	return n, err
}

func (cn *conn) Write(b []byte) (int, error) {
	end := cn.phase("write")
	n, err := cn.Conn.Write(b)
	end(err)
	return n, cn.note(err)
}

// phase begins a phase, or continues the last phase if that has the same name: an
// answer may take several reads.
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
		first := err // a copy, so that no allocation is made without an error
		cn.failed.CompareAndSwap(nil, &first)
	}
	return cn.place.name(err)
}

// firstError returns the first error of a read or a write. The drivers hide it.
func (cn *conn) firstError() error {
	if err := cn.failed.Load(); err != nil {
		return *err
	}
	return nil
}

// SyscallConn lets go-sql-driver check whether an idle connection is still alive.
func (cn *conn) SyscallConn() (syscall.RawConn, error) {
	if sc, ok := cn.Conn.(syscall.Conn); ok {
		return sc.SyscallConn()
	}
	return nil, errors.ErrUnsupported
}

// How a connection ends: the values for Observer.Closed.
const (
	EndFIN  = "fin_by_us"   // this end sends the first FIN; it answers later data by a RST
	EndPeer = "fin_by_peer" // the server had sent its FIN before
	EndRST  = "rst"         // reset: this end closes with unread data, or the server has reset the connection
	endNone = ""            // the operating system doesn't show how
)

// end returns how the close of the connection will end it, and its addresses.
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
