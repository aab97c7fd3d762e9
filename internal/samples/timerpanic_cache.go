package samples

import (
	"context"
	"net"
	"time"

	"github.com/bradfitz/gomemcache/memcache"
)

// TimerPanicCache is a timeout by exception in Go, as gevent has it for Python.
// It answers no sooner than context-cancel does, leaves the same behind, and throws a
// late result away.
func TimerPanicCache(ctx context.Context, addr, key string, timeout time.Duration) (item *memcache.Item, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	timer := time.AfterFunc(timeout, func() { cancel(context.DeadlineExceeded) }) // a panic here would end the process
	defer timer.Stop()
	defer func() {
		if v := recover(); v == context.DeadlineExceeded {
			err = context.DeadlineExceeded
		} else if v != nil {
			panic(v)
		}
	}()
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
	item, err = client.Get(key)
	if context.Cause(ctx) == context.DeadlineExceeded { // not inside the library, whose locks would stay held
		panic(context.DeadlineExceeded)
	}
	return item, err
}
