package replay

import (
	"context"
	"fmt"
	"net"
	"sync/atomic"

	"github.com/bradfitz/gomemcache/memcache"
)

func memcachePanic() Experiment {
	return Experiment{
		ID: "gomemcache-panic", Title: "after a recovered panic a Get answers with another key's value, and no error",
		Issues:   []string{"https://github.com/bradfitz/gomemcache/blob/4d751bb6e37c/memcache/memcache.go"},
		Reported: "Found while this lab was built: a panic that leaves Get, such as one out of a net.Conn, puts the connection back into the free list with an answer unread. The next Get reads that answer, and does not look at its key.",
		Does:     "The connection panics as Get(\"a\") reads, the caller recovers, and then gets \"b\".",
		Remedy:   "Close the connection before the panic.",
		run:      replayMemcachePanic,
	}
}

func replayMemcachePanic(_ context.Context, remedy bool) (o Outcome, err error) {
	client, err := startCache()
	if err != nil {
		return o, err
	}
	var armed atomic.Bool
	client.Timeout = soon
	client.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, addr)
		return panickingConn{conn, &armed, remedy}, err
	}
	for _, key := range []string{"a", "b"} {
		if err := client.Set(&memcache.Item{Key: key, Value: []byte(key)}); err != nil {
			return o, err
		}
	}
	armed.Store(true)
	func() {
		defer func() { _ = recover() }()
		_, _ = client.Get("a")
	}()
	armed.Store(false)
	item, err := client.Get("b")
	if err != nil {
		return Outcome{Saw: fmt.Sprintf("Get(\"b\") returned an error, and no item: %s.", withoutAddresses(err))}, nil
	}
	return Outcome{
		Saw:        fmt.Sprintf("Get(\"b\") returned the item %q, whose value is %q, and no error.", item.Key, item.Value),
		Reproduced: item.Key != "b",
	}, nil
}

// panickingConn panics at a read while it is armed.
type panickingConn struct {
	net.Conn
	armed  *atomic.Bool
	closes bool // before it panics
}

func (c panickingConn) Read(p []byte) (int, error) {
	if !c.armed.Load() {
		return c.Conn.Read(p)
	}
	if c.closes {
		c.Close()
	}
	panic("the time is up")
}
