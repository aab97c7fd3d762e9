package samples

import (
	"time"

	"github.com/bradfitz/gomemcache/memcache"
)

// BaselineCache has no bound. It sets a long Timeout, because gomemcache's default is
// 500 ms.
func BaselineCache(addr, key string) (*memcache.Item, error) {
	client := memcache.New(addr)
	defer client.Close()
	client.Timeout = 24 * time.Hour
	return client.Get(key)
}
