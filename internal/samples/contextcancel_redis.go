package samples

import (
	"context"
	"time"

	"github.com/redis/go-redis/v9"
)

// ContextCancelRedis needs a client with Options.ContextTimeoutEnabled: without it go-redis ignores the deadline
// of a call in flight. With it go-redis closes the connection at the deadline, and Redis ends a
// command that waits. A cancel ends nothing (https://github.com/redis/go-redis/issues/2682).
func ContextCancelRedis(ctx context.Context, client *redis.Client, timeout time.Duration, command ...any) (any, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	return client.Do(ctx, command...).Result()
}
