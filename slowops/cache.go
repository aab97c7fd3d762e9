package slowops

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/bradfitz/gomemcache/memcache"
)

// Cache is the op cache: a gomemcache get of the key delay/{delay}/{run}.
//
// gomemcache takes no context (https://github.com/bradfitz/gomemcache/pull/126) and
// doesn't show which connection a Get uses. So each connection has its own
// memcache.Client, which one call at a time holds. The call can then cut its
// connection, set Timeout without a race, and count its connections.
type Cache struct {
	// Via is the host:port to dial instead of the memcached's. "" dials the
	// memcached itself. Set Via before the first call.
	Via string

	// Key is the key of the own call: each call gets Key instead, and errors don't quote it.
	// Set Key before the first call.
	Key string

	addr string
	room room

	mu   sync.Mutex
	idle []*cacheClient // in the order of their last use
}

// NewCache returns an op on the memcached at addr: host:port, or the path of a Unix
// socket. Call Close after use.
func NewCache(addr string) *Cache { return &Cache{addr: addr, room: room{most: noLimit}} }

// SetMaxIdle bounds the idle connections that the op keeps; 0 keeps none. Call it before the first call.
func (m *Cache) SetMaxIdle(n int) { m.room.most = int32(n) }

// Close closes the idle connections.
func (m *Cache) Close() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, client := range m.idle {
		client.expiry.Stop()
		client.conn.Close()
	}
	m.idle = nil
}

// noTimeout is long enough to bound nothing. gomemcache's default is 500 ms.
const noTimeout = 24 * time.Hour

// Do gets the key. A miss is no error. The value of another key is a *Failure with
// the code wrong_answer. When ctx ended an aware call, the error matches ctx.Err().
func (m *Cache) Do(ctx context.Context, c Call) error {
	ctx, cancel := c.context(ctx)
	defer cancel()
	client := m.take()
	client.hold(&c)
	client.Timeout, client.ctx = cmp.Or(c.ReadTimeout, c.IOTimeout, noTimeout), ctx
	stop := context.AfterFunc(ctx, client.cut)
	err := client.get(m.key(&c))
	cut := !stop()
	m.give(client, &c, cut)
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil: // not cut alone: ctx may have ended the dial
		err = limited(ctx, fmt.Errorf("memcached get: %w: %w", ctx.Err(), err))
	default:
		err = named(timeoutOf(&c, fmt.Errorf("memcached get: %w", err)))
	}
	if m.Key != "" {
		err = keepSecret("memcached get", err)
	}
	return err
}

func (m *Cache) key(c *Call) string {
	if m.Key != "" {
		return m.Key
	}
	return fmt.Sprintf("delay/%s/%s", c.Delay, c.Run)
}

// timeoutOf makes a Failure of each of gomemcache's two timeouts.
func timeoutOf(c *Call, err error) error {
	dial, io := cmp.Or(c.ConnectTimeout, c.IOTimeout), cmp.Or(c.ReadTimeout, c.IOTimeout)
	var connect *memcache.ConnectTimeoutError
	switch {
	case errors.As(err, &connect) && dial > 0:
		return &Failure{code: connectTimeout, within: dial, err: err}
	case connect == nil && io > 0 && errors.Is(err, os.ErrDeadlineExceeded):
		return &Failure{code: readTimeout, within: io, err: err}
	}
	return err
}

// take returns the client used last, or a new one without a connection yet.
func (m *Cache) take() *cacheClient {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := len(m.idle)
	if n == 0 {
		client := &cacheClient{Client: memcache.NewFromSelector(server(m.addr)), via: m.Via}
		client.DialContext = client.dial
		return client
	}
	client := m.idle[n-1]
	m.idle = m.idle[:n-1]
	m.room.give()
	client.expiry.Stop()
	return client
}

// give takes a client back, unless its connection is closed or was cut. A cut may
// come when the answer is already read, and its deadline must not end the next call.
func (m *Cache) give(client *cacheClient, c *Call, cut bool) {
	if client.conn == nil {
		return
	}
	if cut || client.conn.closed.Load() || !m.room.take() {
		client.conn.Close()
		return
	}
	client.ctx, client.call = nil, nil
	client.conn.release(c)
	m.mu.Lock()
	defer m.mu.Unlock()
	client.expiry = time.AfterFunc(idleTimeout, func() { m.expire(client) })
	m.idle = append(m.idle, client)
}

// expire closes a client's connection, unless a call has just taken the client.
func (m *Cache) expire(client *cacheClient) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if i := slices.Index(m.idle, client); i >= 0 {
		m.idle = slices.Delete(m.idle, i, i+1)
		m.room.give()
		client.conn.Close()
	}
}

// server selects itself for every key. gomemcache's ServerList would look up the
// server's name first, where no context and no timeout bounds the lookup.
type server string

func (s server) String() string                       { return string(s) }
func (s server) PickServer(string) (net.Addr, error)  { return s, nil }
func (s server) Each(each func(net.Addr) error) error { return each(s) }

// Network returns "unix" for a path, which has a slash, and "tcp" for host:port.
func (s server) Network() string {
	if strings.Contains(string(s), "/") {
		return "unix"
	}
	return "tcp"
}

// cacheClient is a memcache.Client with one connection, held by one call.
type cacheClient struct {
	*memcache.Client
	via    string
	ctx    context.Context // the context of the call; it bounds the dial
	call   *Call
	expiry *time.Timer // closes the idle connection

	mu    sync.Mutex
	isCut bool
	conn  *cutConn
}

// hold makes c the call of client, and reports to c that it reuses a connection, if so.
func (client *cacheClient) hold(c *Call) {
	client.call = c
	if client.conn != nil {
		client.conn.hold(c)
		call(c.Reused)
	}
}

func (client *cacheClient) get(key string) error {
	item, err := client.Get(key)
	var connect *memcache.ConnectTimeoutError // has no Timeout method
	switch {
	case errors.As(err, &connect):
		return fmt.Errorf("%w: %w", err, os.ErrDeadlineExceeded)
	case errors.Is(err, memcache.ErrCacheMiss):
		return nil
	case err == nil && item.Key != key:
		client.conn.Close() // gomemcache would use the connection again
		return &Failure{code: wrongAnswer, err: fmt.Errorf("asked for %q, got %q: the connection is poisoned", key, item.Key)}
	}
	return err
}

// dial is called by gomemcache with a context that ends at Timeout. That is not
// the bound of the dial: the call's own timeouts and context are.
func (client *cacheClient) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(client.ctx, cancel)()
	if client.via != "" {
		network = "tcp"
	}
	cn, err := dialPhases(ctx, client.call, "cache", network, place{addr, client.via})
	if err != nil {
		return nil, err
	}
	client.mu.Lock()
	defer client.mu.Unlock()
	client.conn = &cutConn{conn: cn, client: client}
	return client.conn, nil
}

var past = time.Unix(1, 0)

// cut ends the call's read or write now, and each later one at once.
func (client *cacheClient) cut() {
	client.mu.Lock()
	defer client.mu.Unlock()
	client.isCut = true
	if client.conn != nil {
		_ = client.conn.conn.SetDeadline(past)
	}
}

// cutConn keeps a past deadline. gomemcache sets a new one before each read.
type cutConn struct {
	*conn
	client *cacheClient
}

func (cn *cutConn) SetDeadline(t time.Time) error {
	cn.client.mu.Lock()
	defer cn.client.mu.Unlock()
	if cn.client.isCut {
		t = past
	}
	return cn.conn.SetDeadline(t)
}
