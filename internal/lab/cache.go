package lab

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/url"
	"path"
	"strings"
	"time"

	"gotimeout/handlers"
	cachebackend "gotimeout/internal/backends/cache"
	"gotimeout/internal/badnet/private"
	"gotimeout/slowops"
	"gotimeout/strategies"
)

// cacheOp gets a key from a memcached by gomemcache.
type cacheOp struct {
	CacheAddr string `name:"cache-addr" env:"MEMCACHED_ADDR" placeholder:"ADDR" help:"A real memcached in the place of the embedded one: host:port, memcached://host:port, or the path of its Unix socket."`
	CacheKey  string `name:"cache-key" env:"GOTIMEOUT_CACHE_KEY" placeholder:"KEY" secret:"" help:"Your own call as the op cache: a get of this key of the memcached of --cache-addr."`

	addr string // host:port or a path; "" is the embedded memcached
}

func (o *cacheOp) Read(getenv func(string) string) (notes []string, err error) {
	if o.CacheAddr != "" {
		if o.addr, err = readCacheAddr(o.CacheAddr); err != nil {
			return nil, fmt.Errorf("--cache-addr (MEMCACHED_ADDR) %w", err)
		}
	} else if getenv("MEMCACHIER_SERVERS") != "" {
		notes = append(notes, "MEMCACHIER_SERVERS is ignored: it wants a login by SASL, which gomemcache doesn't speak; MEMCACHED_ADDR names a memcached without one")
	}
	switch {
	case o.CacheKey != "" && o.addr == "":
		return nil, errors.New("--cache-key (GOTIMEOUT_CACHE_KEY) is of a memcached of your own, and there is none: give its address by --cache-addr")
	case len(o.CacheKey) > 250 || strings.ContainsFunc(o.CacheKey, func(r rune) bool { return r <= ' ' || r == 0x7f }):
		return nil, errors.New("--cache-key (GOTIMEOUT_CACHE_KEY) is no key of memcached: use at most 250 bytes, without spaces and control characters")
	}
	return notes, nil
}

func (o *cacheOp) ownName() string {
	if o.CacheKey == "" {
		return ""
	}
	return "a key on " + o.addr
}

func (o *cacheOp) server() *private.Server {
	switch {
	case o.addr == "":
		return nil
	case strings.HasPrefix(o.addr, "/"):
		return &private.Server{Network: "unix", Addr: o.addr}
	}
	return &private.Server{Network: "tcp", Addr: o.addr}
}

// readCacheAddr reads host:port, a URL, or the path of a Unix socket. The error doesn't
// quote an address with a user.
func readCacheAddr(text string) (addr string, err error) {
	const forms = "write host:port, memcached://host:port or unix:/path"
	addr = strings.TrimPrefix(text, "unix:")
	if strings.HasPrefix(addr, "/") {
		return path.Clean(addr), nil // also the path in unix:///path
	}
	scheme, rest, isURL := strings.Cut(text, "://")
	switch {
	case strings.Contains(text, "@"):
		return "", errors.New("has an @, and a memcached without a login has no user: " + forms)
	case isURL && strings.ToLower(scheme) != "memcached":
		return "", errors.New("has a scheme that is not memcached: " + forms)
	case strings.Contains(text, ","):
		return "", errors.New("has several hosts, and the op is on one: " + forms)
	case isURL:
		u, err := url.Parse("memcached://" + strings.TrimSuffix(rest, "/"))
		if err != nil || u.Hostname() == "" || u.Path+u.RawQuery+u.Fragment != "" {
			return "", errors.New("is an unreadable memcached:// URL: " + forms)
		}
		addr = net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), "11211"))
	}
	if CheckAddr(addr) != nil {
		return "", fmt.Errorf("is %q, which can't be read: %s", text, forms)
	}
	return addr, nil
}

func (o *cacheOp) open(l *Lab) (handlers.Op, error) {
	b, err := l.backend("cache", o.server(), cachebackend.Start)
	if err != nil {
		return handlers.Op{}, err
	}
	client := slowops.NewCache(b.addr)
	client.Via, client.Key = b.via, o.CacheKey
	l.pool(b, client)
	b.do = client.Do
	op := handlers.Op{
		Name: b.name, Doc: "A gomemcache get, deaf by nature: aware, its connection is cut.",
		Settings: map[strategies.Family]string{
			strategies.AroundCall:   "gomemcache takes none: cut its connection",
			strategies.InsideClient: "memcache.Client.Timeout",
		},
		Noun: "memcached", Settle: 1300 * time.Millisecond, // the second of slowops, and the time until its timer has run
		Dials: true, Reports: bit(b.embedded != nil), Seen: b.embedded != nil,
		Lacks: map[string]string{
			"tls_timeout":    "gomemcache has a timeout for the dial and one for each read and write, and the lab gives it no TLS",
			"header_timeout": "memcached's protocol has no headers, and gomemcache has a timeout for the dial and one for each read and write",
		},
		Parts: []handlers.Part{b.do},
	}
	switch {
	case o.CacheKey != "":
		ready := slowops.NewCache(b.addr) // gets a key that is not stored
		ready.Via = b.via
		l.pool(b, ready)
		b.health = ready.Do
		l.makeOwn(&op, o.ownName())
	case b.embedded == nil:
		op.NoDelay = "a real memcached has no slow command; make the network to it slow instead"
	}
	return op, nil
}
