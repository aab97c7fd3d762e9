package network

import (
	"context"
	"net"
	"slices"
	"sync"
	"time"
)

// dials times new connections.
func dials(ctx context.Context, addr string, s schedule) sample {
	var (
		mu     sync.Mutex
		all    sync.WaitGroup
		times  []time.Duration
		opened []net.Conn
	)
	for range s.dials {
		all.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, s.patience)
			defer cancel()
			began := time.Now()
			conn, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
			took := time.Since(began)
			if err != nil {
				return // one more that did not come back
			}
			mu.Lock()
			defer mu.Unlock()
			times, opened = append(times, took), append(opened, conn)
		})
		if !pause(ctx, s.gap) {
			break
		}
	}
	all.Wait()
	for _, conn := range opened {
		reset(conn) // silently: a goodbye would be under way for another delay
	}
	pause(ctx, s.settle)
	slices.Sort(times)
	return sample{s.dials, times}
}

// trips times round trips to an echo.
func trips(ctx context.Context, network, addr string, s schedule) (sample, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(s.probes)*s.gap+s.patience)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, network, addr)
	if err != nil {
		return sample{}, err
	}
	defer reset(conn)
	return sample{s.probes, probe(ctx, conn, s.probes, s.gap)}, nil
}

// pause waits, unless ctx is done before.
func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}
