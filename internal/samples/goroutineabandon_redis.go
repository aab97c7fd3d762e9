package samples

import (
	"context"
	"time"

	"github.com/redis/go-redis/v9"
)

// GoroutineAbandonRedis answers on time. The command runs on and keeps its connection, and by
// default a pool has ten for each processor.
func GoroutineAbandonRedis(client *redis.Client, timeout time.Duration, command ...any) (any, error) {
	type result struct {
		answer any
		err    error
	}
	done := make(chan result, 1) // without the buffer an abandoned goroutine never ends
	go func() {
		answer, err := client.Do(context.Background(), command...).Result()
		done <- result{answer, err}
	}()
	select {
	case r := <-done:
		return r.answer, r.err
	case <-time.After(timeout):
		return nil, context.DeadlineExceeded
	}
}
