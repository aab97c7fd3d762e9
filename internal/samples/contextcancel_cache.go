package samples

import (
	"context"
	"net"
	"time"

	"github.com/bradfitz/gomemcache/memcache"
)

// ContextCancelCache closes the connection at the timeout. gomemcache takes no context
// (https://github.com/bradfitz/gomemcache/pull/126), and a context beside Get ends nothing.
// So this dials a connection for each call. The Timeout of the client costs less.
func ContextCancelCache(ctx context.Context, addr, key string, timeout time.Duration) (*memcache.Item, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	client := memcache.New(addr)
	defer client.Close()
	client.Timeout = 24 * time.Hour // gomemcache's default is 500 ms
	client.DialContext = func(_ context.Context, network, addr string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, addr)
		if err == nil {
			context.AfterFunc(ctx, func() { conn.Close() })
		}
		return conn, err
	}
	return client.Get(key)
}
