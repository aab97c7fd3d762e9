package samples

import (
	"context"

	"github.com/redis/go-redis/v9"
)

// BaselineRedis has no bound but the client's own: go-redis has a ReadTimeout of some seconds by
// default, and makes the call up to four times then. A negative ReadTimeout is none.
func BaselineRedis(client *redis.Client, command ...any) (any, error) {
	return client.Do(context.Background(), command...).Result()
}
