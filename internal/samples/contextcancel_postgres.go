package samples

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

// ContextCancelPostgres ends the query in PostgreSQL too: pgx returns, sends a cancel request
// on a second connection and closes the first. To keep the connection, set
// Config.BuildContextWatcherHandler to a pgconn.CancelRequestContextWatcherHandler with a
// DeadlineDelay of some seconds: without one it closes the connection as well. Either way an
// answer takes 100 ms longer. A pool dials on when ctx has ended: set connect_timeout.
func ContextCancelPostgres(ctx context.Context, pool *pgxpool.Pool, query string, timeout time.Duration) (result int, err error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	err = pool.QueryRow(ctx, query).Scan(&result)
	return result, err
}
