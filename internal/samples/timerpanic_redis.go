package samples

import (
	"context"
	"time"

	"github.com/redis/go-redis/v9"
)

// TimerPanicRedis is a timeout by exception in Go, as gevent has it for Python. It is late:
// go-redis ignores a cancel, and a context with a deadline answers sooner. It throws a late result away.
func TimerPanicRedis(ctx context.Context, client *redis.Client, timeout time.Duration, command ...any) (answer any, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	timer := time.AfterFunc(timeout, func() { cancel(context.DeadlineExceeded) }) // a panic here would end the process
	defer timer.Stop()
	defer func() {
		if v := recover(); v == context.DeadlineExceeded {
			answer, err = nil, context.DeadlineExceeded
		} else if v != nil {
			panic(v)
		}
	}()
	answer, err = client.Do(ctx, command...).Result()
	if context.Cause(ctx) == context.DeadlineExceeded { // not inside the library, whose locks would stay held
		panic(context.DeadlineExceeded)
	}
	return answer, err
}
