package samples

import (
	"context"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// ServerLimitPostgres has PostgreSQL end the query at the timeout, by an error 57014, and pgx
// keep the connection. The limit holds for this transaction, and both statements go out in
// one batch. Set statement_timeout in the pool's URL, or for the role
// (ALTER ROLE app SET statement_timeout = '5s'), where each query may have the same limit.
func ServerLimitPostgres(ctx context.Context, pool *pgxpool.Pool, query string, timeout time.Duration) (result int, err error) {
	batch := new(pgx.Batch) // an implicit transaction
	batch.Queue("SET LOCAL statement_timeout = " + strconv.FormatInt(timeout.Milliseconds(), 10))
	batch.Queue(query).QueryRow(func(row pgx.Row) error { return row.Scan(&result) })
	err = pool.SendBatch(ctx, batch).Close()
	return result, err
}
