package lab

import (
	"fmt"
	"time"

	"gotimeout/handlers"
	cachebackend "gotimeout/internal/backends/cache"
	"gotimeout/internal/badnet/private"
	"gotimeout/slowops"
)

// cacheOp gets a key from a memcached by gomemcache.
type cacheOp struct {
	CacheAddr string `name:"cache-addr" env:"MEMCACHED_ADDR" placeholder:"HOST:PORT" help:"A real memcached in the place of the embedded one."`
}

func (o *cacheOp) Read(getenv func(string) string) (notes []string, err error) {
	if o.CacheAddr != "" {
		if err := CheckAddr(o.CacheAddr); err != nil {
			return nil, fmt.Errorf("--cache-addr (MEMCACHED_ADDR) %w", err)
		}
	} else if getenv("MEMCACHIER_SERVERS") != "" {
		notes = append(notes, "MEMCACHIER_SERVERS is ignored: it wants a login by SASL, which gomemcache doesn't speak; MEMCACHED_ADDR names a memcached without one")
	}
	return notes, nil
}

func (o *cacheOp) server() *private.Server {
	if o.CacheAddr == "" {
		return nil
	}
	return &private.Server{Network: "tcp", Addr: o.CacheAddr}
}

func (o *cacheOp) open(l *Lab) (handlers.Op, error) {
	b, err := l.backend("cache", o.server(), cachebackend.Start)
	if err != nil {
		return handlers.Op{}, err
	}
	client := slowops.NewCache(b.addr, 0)
	client.Via = b.via
	l.atClose(client.Close)
	b.do = client.Do
	op := handlers.Op{
		Name: b.name, Doc: "A gomemcache get, deaf by nature: aware, its connection is cut.",
		Noun: "memcached", Settle: 1300 * time.Millisecond, // the second of slowops, and the time until its timer has run
		Dials: true, Reports: bit(b.embedded != nil), Seen: b.embedded != nil,
		Lacks: map[string]string{
			"tls_timeout":    "gomemcache has a timeout for the dial and one for each read and write, and the lab gives it no TLS",
			"header_timeout": "memcached's protocol has no headers, and gomemcache has a timeout for the dial and one for each read and write",
		},
		Parts: []handlers.Part{b.do},
	}
	if b.embedded == nil {
		op.NoDelay = "a real memcached has no slow command; make the network to it slow instead"
	}
	return op, nil
}
