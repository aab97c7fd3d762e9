package samples

import (
	"context"
	"net"
	"time"

	"github.com/bradfitz/gomemcache/memcache"
	"github.com/failsafe-go/failsafe-go"
	"github.com/failsafe-go/failsafe-go/timeout"
)

// FailsafeTimeoutCache closes the connection at the timeout, because gomemcache takes no context
// (https://github.com/bradfitz/gomemcache/pull/126). The policy is cooperative: without that
// it would return ErrExceeded when the call ends, and the item would be lost.
func FailsafeTimeoutCache(ctx context.Context, addr, key string, limit time.Duration) (*memcache.Item, error) {
	bounded := failsafe.With(timeout.New[*memcache.Item](limit)).WithContext(ctx)
	return bounded.GetWithExecution(func(e failsafe.Execution[*memcache.Item]) (*memcache.Item, error) {
		client := memcache.New(addr)
		defer client.Close()
		client.Timeout = 24 * time.Hour // gomemcache's default is 500 ms
		client.DialContext = func(_ context.Context, network, addr string) (net.Conn, error) {
			conn, err := new(net.Dialer).DialContext(e.Context(), network, addr)
			if err == nil {
				context.AfterFunc(e.Context(), func() { conn.Close() })
			}
			return conn, err
		}
		return client.Get(key)
	})
}
