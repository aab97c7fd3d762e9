package samples

import (
	"context"
	"database/sql"
	"time"
)

// ContextCancelDB closes the connection at the timeout. The query runs to its end in
// MySQL: the driver sends no KILL (https://github.com/go-sql-driver/mysql/issues/731).
// Limit an expensive query in the database too: max_execution_time in MySQL,
// max_statement_time in MariaDB.
func ContextCancelDB(ctx context.Context, db *sql.DB, query string, timeout time.Duration) (result int, err error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	err = db.QueryRowContext(ctx, query).Scan(&result) // QueryRow would ignore ctx
	return result, err
}
