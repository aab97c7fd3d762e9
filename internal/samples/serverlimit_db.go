package samples

import (
	"context"
	"database/sql"
	"fmt"
	"time"
)

// ServerLimitDB has the server end the query at the timeout: MySQL reads the first limit, and
// MariaDB the second. The pool keeps the connection, which keeps the limit: set the limit
// in the DSN (max_statement_time=0.5) where each call may have it. MySQL limits SELECT alone,
// and ends a SELECT SLEEP without an error: it returns 1. MariaDB ends BENCHMARK without one.
func ServerLimitDB(ctx context.Context, db *sql.DB, query string, timeout time.Duration) (result int, err error) {
	conn, err := db.Conn(ctx)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	const limit = "SET SESSION /*!50708 max_execution_time=%d *//*M!100101 max_statement_time=%g */"
	if _, err := conn.ExecContext(ctx, fmt.Sprintf(limit, timeout.Milliseconds(), timeout.Seconds())); err != nil {
		return 0, err
	}
	defer conn.ExecContext(ctx, fmt.Sprintf(limit, 0, 0.0))
	err = conn.QueryRowContext(ctx, query).Scan(&result)
	return result, err
}
