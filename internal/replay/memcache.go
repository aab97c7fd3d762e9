package replay

import (
	"context"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bradfitz/gomemcache/memcache"

	"gotimeout/internal/backends"
	cachebackend "gotimeout/internal/backends/cache"
)

func memcacheContext() Experiment {
	return Experiment{
		ID: "gomemcache-126", Title: "a Get takes no context, and its own timeout of 0.5 s bounds it",
		Issues:   []string{"https://github.com/bradfitz/gomemcache/pull/126"},
		Reported: "No method takes a context: a caller's deadline cannot reach the client. What bounds a Get is Client.Timeout, 500 ms unless it is set.",
		Does:     "A caller with a deadline of 0.1 s gets a key that takes 3 s.",
		Remedy:   "Set Client.Timeout to what is left until the deadline, on a client of its own.",
		run:      replayMemcacheContext,
	}
}

func startCache() (*memcache.Client, error) {
	server, err := cachebackend.Start(backends.Options{MaxDelay: time.Minute})
	if err != nil {
		return nil, err
	}
	return memcache.New(server.Addr), nil
}

func replayMemcacheContext(ctx context.Context, remedy bool) (o Outcome, err error) {
	client, err := startCache()
	if err != nil {
		return o, err
	}
	took, err := quickest(func() error {
		ctx, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
		defer cancel()
		if deadline, _ := ctx.Deadline(); remedy {
			client.Timeout = time.Until(deadline)
		}
		_, err := client.Get("delay/3s")
		return err
	})
	return Outcome{
		Saw:        fmt.Sprintf("Get returned after %s: %v.", sec(took), withoutAddresses(err)),
		Reproduced: took > 400*time.Millisecond,
	}, nil
}

func memcacheIdle() Experiment {
	return Experiment{
		ID: "gomemcache-90", Title: "two idle connections are kept, and each burst opens new ones",
		Issues:   []string{"https://github.com/bradfitz/gomemcache/issues/90"},
		Reported: "\"cannot assign requested address\" under load: MaxIdleConns is 2 unless it is set, so all other connections are closed after their call, and their ports stay in TIME-WAIT.",
		Does:     "16 workers get a key of 0.05 s at the same time, five times.",
		Remedy:   "Set MaxIdleConns to the number of workers.",
		run:      replayMemcacheIdle,
	}
}

func replayMemcacheIdle(_ context.Context, remedy bool) (o Outcome, err error) {
	const workers, bursts = 16, 5
	client, err := startCache()
	if err != nil {
		return o, err
	}
	var opened atomic.Int64
	client.Timeout = soon
	client.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		opened.Add(1)
		return new(net.Dialer).DialContext(ctx, network, addr)
	}
	if remedy {
		client.MaxIdleConns = workers
	}
	for range bursts {
		var burst sync.WaitGroup
		for range workers {
			burst.Go(func() { _, _ = client.Get("delay/50ms") })
		}
		burst.Wait()
	}
	return Outcome{
		Saw:        fmt.Sprintf("%d workers opened %d connections for %d calls.", workers, opened.Load(), workers*bursts),
		Reproduced: opened.Load() > 2*workers,
	}, nil
}

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
