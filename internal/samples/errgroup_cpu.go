package samples

import (
	"context"
	"crypto/md5"
	"time"

	"golang.org/x/sync/errgroup"
)

// ErrgroupCPU answers when the last call has returned: the first error cancels the
// others, and one that ignores ctx makes the answer late. errgroup has no timeout.
func ErrgroupCPU(ctx context.Context, timeout time.Duration, rounds ...int) ([][md5.Size]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	results := make([][md5.Size]byte, len(rounds))
	g, ctx := errgroup.WithContext(ctx) // for the group alone: this ctx is done after Wait
	for i, n := range rounds {
		g.Go(func() error {
			for j := range n {
				if j%1024 == 0 && ctx.Err() != nil { // a loop that does not check ctx makes the answer late
					return ctx.Err()
				}
				results[i] = md5.Sum(results[i][:])
			}
			return nil
		})
	}
	return results, g.Wait()
}
