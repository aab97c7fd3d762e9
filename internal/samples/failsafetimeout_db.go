package samples

import (
	"context"
	"database/sql"
	"time"

	"github.com/failsafe-go/failsafe-go"
	"github.com/failsafe-go/failsafe-go/timeout"
)

// FailsafeTimeoutDB returns timeout.ErrExceeded at the timeout, because the query has the context
// of the execution. The query runs on in MySQL: the driver sends no KILL
// (https://github.com/go-sql-driver/mysql/issues/731).
func FailsafeTimeoutDB(ctx context.Context, db *sql.DB, query string, limit time.Duration) (result int, err error) {
	bounded := failsafe.With(timeout.New[int](limit)).WithContext(ctx)
	return bounded.GetWithExecution(func(e failsafe.Execution[int]) (int, error) {
		err := db.QueryRowContext(e.Context(), query).Scan(&result) // QueryRow would ignore the context
		return result, err
	})
}
