package samples

import (
	"context"
	"time"

	"github.com/bradfitz/gomemcache/memcache"
)

// GoroutineAbandonCache answers on time, whatever the call does. The goroutine and its
// connection stay until the server answers: bound how many calls may be in flight.
func GoroutineAbandonCache(addr, key string, timeout time.Duration) (*memcache.Item, error) {
	type result struct {
		item *memcache.Item
		err  error
	}
	done := make(chan result, 1) // without the buffer an abandoned goroutine never ends
	go func() {
		client := memcache.New(addr)
		defer client.Close()
		client.Timeout = 24 * time.Hour // gomemcache's default is 500 ms
		item, err := client.Get(key)
		done <- result{item, err}
	}()
	select {
	case r := <-done:
		return r.item, r.err
	case <-time.After(timeout):
		return nil, context.DeadlineExceeded
	}
}
