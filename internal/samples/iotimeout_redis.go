package samples

import (
	"context"
	"time"

	"github.com/redis/go-redis/v9"
)

// IOTimeoutRedis uses the bounds of go-redis: of the dial with its TLS handshake, of a write, and of the whole
// answer. By default MaxRetries makes a call that has timed out three times more, which takes
// four times as long. Keep the client for the life of the program.
func IOTimeoutRedis(addr string, timeout time.Duration, command ...any) (any, error) {
	client := redis.NewClient(&redis.Options{
		Addr: addr, DialTimeout: timeout, ReadTimeout: timeout, WriteTimeout: timeout, MaxRetries: -1,
	})
	defer client.Close()
	return client.Do(context.Background(), command...).Result()
}
