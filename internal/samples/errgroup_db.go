package samples

import (
	"context"
	"database/sql"
	"time"

	"golang.org/x/sync/errgroup"
)

// ErrgroupDB answers when the last call has returned: the first error cancels the
// others, and one that ignores ctx makes the answer late. errgroup has no timeout.
func ErrgroupDB(ctx context.Context, db *sql.DB, timeout time.Duration, queries ...string) ([]int, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	results := make([]int, len(queries))
	g, ctx := errgroup.WithContext(ctx) // for the group alone: this ctx is done after Wait
	for i, query := range queries {
		g.Go(func() error {
			return db.QueryRowContext(ctx, query).Scan(&results[i])
		})
	}
	return results, g.Wait()
}
