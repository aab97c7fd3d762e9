package cachebackend

import (
	"net"
	"time"

	"gotimeout/internal/backends"
)

// Serve serves one connection from a cache of at most limit bytes, and returns how many bytes the cache holds afterwards.
func Serve(c net.Conn, limit int, longest time.Duration) (held int) {
	s, err := backends.Listen("cache", backends.Options{})
	if err != nil {
		panic(err)
	}
	defer s.Close()
	served := &cache{server: s, store: newStore(limit), longest: longest}
	served.serve(c)
	return served.store.held()
}
