package samples

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sync/errgroup"
)

// ErrgroupPostgres answers when the last call has returned: the first error cancels the
// others, in PostgreSQL too. errgroup has no timeout.
func ErrgroupPostgres(ctx context.Context, pool *pgxpool.Pool, timeout time.Duration, queries ...string) ([]int, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	results := make([]int, len(queries))
	g, ctx := errgroup.WithContext(ctx) // for the group alone: this ctx is done after Wait
	for i, query := range queries {
		g.Go(func() error {
			return pool.QueryRow(ctx, query).Scan(&results[i])
		})
	}
	return results, g.Wait()
}
