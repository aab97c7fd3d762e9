package samples

import (
	"time"

	"github.com/bradfitz/gomemcache/memcache"
)

// IOTimeoutCache uses the one bound that gomemcache has. It covers the dial, and begins
// anew with each read and write. Keep one client for the life of the program.
func IOTimeoutCache(addr, key string, timeout time.Duration) (*memcache.Item, error) {
	client := memcache.New(addr)
	defer client.Close()
	client.Timeout = timeout
	return client.Get(key)
}
