package slowops

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"

	"github.com/bradfitz/gomemcache/memcache"
)

// server selects itself for every key. gomemcache's own list would look the
// name up before, where no context and no timeout reaches.
type server string

func (s server) Network() string                      { return "tcp" }
func (s server) String() string                       { return string(s) }
func (s server) PickServer(string) (net.Addr, error)  { return s, nil }
func (s server) Each(each func(net.Addr) error) error { return each(s) }

// cacheClient is a memcache.Client with one connection, held by one call.
type cacheClient struct {
	*memcache.Client
	via    string
	ctx    context.Context // of an aware call, which its dial obeys
	call   *Call
	expiry *time.Timer // while it is idle

	mu    sync.Mutex
	isCut bool
	conn  *cutConn
}

// hold makes c the call of client, and tells it if there is a connection to reuse.
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
		client.conn.Close() // gomemcache would use it again
		return &Failure{code: wrongAnswer, err: fmt.Errorf("asked for %q, got %q: the connection is poisoned", key, item.Key)}
	}
	return err
}

// dial is called by gomemcache with a context of its own, which ends at Timeout:
// the call says what bounds a dial.
func (client *cacheClient) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	ctx = context.WithoutCancel(ctx)
	if client.ctx != nil {
		var cancel context.CancelFunc
		ctx, cancel = context.WithCancel(ctx)
		defer cancel()
		defer context.AfterFunc(client.ctx, cancel)()
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

// cut ends the call's read or write now and every later one.
func (client *cacheClient) cut() {
	client.mu.Lock()
	defer client.mu.Unlock()
	client.isCut = true
	if client.conn != nil {
		_ = client.conn.conn.SetDeadline(past)
	}
}

// cutConn keeps a past deadline past: gomemcache extends it before each read.
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
