package samples

import (
	"context"
	"time"

	"github.com/failsafe-go/failsafe-go"
	"github.com/failsafe-go/failsafe-go/timeout"
	"github.com/redis/go-redis/v9"
)

// FailsafeTimeoutRedis returns timeout.ErrExceeded, but late: failsafe-go cancels the context of the execution, and
// go-redis ignores a cancel. Give the client a ReadTimeout as well.
func FailsafeTimeoutRedis(ctx context.Context, client *redis.Client, limit time.Duration, command ...any) (any, error) {
	bounded := failsafe.With(timeout.New[any](limit)).WithContext(ctx)
	return bounded.GetWithExecution(func(e failsafe.Execution[any]) (any, error) {
		return client.Do(e.Context(), command...).Result()
	})
}
