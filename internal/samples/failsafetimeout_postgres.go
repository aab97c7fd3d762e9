package samples

import (
	"context"
	"time"

	"github.com/failsafe-go/failsafe-go"
	"github.com/failsafe-go/failsafe-go/timeout"
	"github.com/jackc/pgx/v5/pgxpool"
)

// FailsafeTimeoutPostgres returns timeout.ErrExceeded at the timeout, because the query has the context
// of the execution. pgx ends the query in PostgreSQL too, by a cancel request.
func FailsafeTimeoutPostgres(ctx context.Context, pool *pgxpool.Pool, query string, limit time.Duration) (result int, err error) {
	bounded := failsafe.With(timeout.New[int](limit)).WithContext(ctx)
	return bounded.GetWithExecution(func(e failsafe.Execution[int]) (int, error) {
		err := pool.QueryRow(e.Context(), query).Scan(&result)
		return result, err
	})
}
