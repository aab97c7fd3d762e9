package slowops_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"gotimeout/internal/backends"
	cachebackend "gotimeout/internal/backends/cache"
	dbbackend "gotimeout/internal/backends/db"
	httpbackend "gotimeout/internal/backends/http"
	"gotimeout/slowops"
)

// An aware op returns when its context ends, and closes its connection.
func ExampleHTTP() {
	httpbin, err := httpbackend.Start(backends.Options{MaxDelay: time.Minute})
	if err != nil {
		panic(err)
	}
	defer httpbin.Close()
	op := slowops.NewHTTP("http://"+httpbin.Addr, 0)
	defer op.Close()

	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	closed := make(chan bool, 1)
	err = op.Do(ctx, slowops.Call{Delay: time.Minute, Run: "example", Observer: slowops.Observer{
		Closed: func(string, netip.AddrPort, netip.AddrPort) { closed <- true },
	}})
	fmt.Println(errors.Is(err, context.DeadlineExceeded), <-closed)
	// Output: true true
}

// gomemcache has a timeout of its own, whose error is a *Failure.
func ExampleCache() {
	memcached, err := cachebackend.Start(backends.Options{MaxDelay: time.Minute})
	if err != nil {
		panic(err)
	}
	defer memcached.Close()
	op := slowops.NewCache(memcached.Addr)
	defer op.Close()

	err = op.Do(context.Background(), slowops.Call{Delay: time.Minute, Run: "example", IOTimeout: 50 * time.Millisecond})
	var failure *slowops.Failure
	if errors.As(err, &failure) {
		fmt.Println(failure.Code(), failure.Timeout())
	}
	// Output: read_timeout true
}

// A call of a millisecond ends before its context does.
func ExampleMySQL() {
	server, err := dbbackend.Start(backends.Options{MaxDelay: time.Minute})
	if err != nil {
		panic(err)
	}
	defer server.Close()
	cfg, _, err := slowops.ParseDSN("lab@tcp(" + server.Addr + ")/lab")
	if err != nil {
		panic(err)
	}
	op := slowops.NewMySQL(cfg, 0)
	defer op.Close()

	fmt.Println(op.Do(context.Background(), slowops.Call{Delay: time.Millisecond, Run: "example"}))
	// Output: <nil>
}
