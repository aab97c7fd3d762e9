package samples

import (
	"context"
	"net"
	"time"

	"github.com/bradfitz/gomemcache/memcache"
	"golang.org/x/sync/errgroup"
)

// ErrgroupCache answers when the last call has returned: the first error cancels the
// others, and one that ignores ctx makes the answer late. errgroup has no timeout.
func ErrgroupCache(ctx context.Context, addr string, timeout time.Duration, keys ...string) ([]*memcache.Item, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	results := make([]*memcache.Item, len(keys))
	g, ctx := errgroup.WithContext(ctx) // for the group alone: this ctx is done after Wait
	for i, key := range keys {
		g.Go(func() (err error) {
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
			results[i], err = client.Get(key)
			return err
		})
	}
	return results, g.Wait()
}
