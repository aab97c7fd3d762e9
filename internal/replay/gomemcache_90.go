package replay

import (
	"context"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
)

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
