package samples

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

// GoroutineAbandonPostgres answers on time. The query runs on and keeps its connection, and
// by default a pool has four, or one for each processor.
func GoroutineAbandonPostgres(pool *pgxpool.Pool, query string, timeout time.Duration) (int, error) {
	type result struct {
		result int
		err    error
	}
	done := make(chan result, 1) // without the buffer an abandoned goroutine never ends
	go func() {
		var r result
		r.err = pool.QueryRow(context.Background(), query).Scan(&r.result)
		done <- r
	}()
	select {
	case r := <-done:
		return r.result, r.err
	case <-time.After(timeout):
		return 0, context.DeadlineExceeded
	}
}
