package samples

import (
	"context"
	"time"

	"github.com/redis/go-redis/v9"
	"golang.org/x/sync/errgroup"
)

// ErrgroupRedis answers when the last call has returned, and that is late: the first error, and the
// timer too, cancel the others, and go-redis ignores a cancel. With context.WithTimeout instead of
// the timer, and a client with Options.ContextTimeoutEnabled, the answer is on time.
func ErrgroupRedis(ctx context.Context, client *redis.Client, timeout time.Duration, commands ...[]any) ([]any, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	timer := time.AfterFunc(timeout, func() { cancel(context.DeadlineExceeded) })
	defer timer.Stop()
	answers := make([]any, len(commands))
	g, group := errgroup.WithContext(ctx) // for the group alone: this context is done after Wait
	for i, command := range commands {
		g.Go(func() (err error) {
			answers[i], err = client.Do(group, command...).Result()
			return err
		})
	}
	err := g.Wait()
	if context.Cause(ctx) == context.DeadlineExceeded {
		return nil, context.DeadlineExceeded
	}
	return answers, err
}
