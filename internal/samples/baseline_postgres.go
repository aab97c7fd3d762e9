package samples

import (
	"context"

	"github.com/jackc/pgx/v5/pgxpool"
)

// BaselinePostgres has no bound: pgx has no timeout for a query, so the caller waits as
// long as PostgreSQL takes.
func BaselinePostgres(pool *pgxpool.Pool, query string) (result int, err error) {
	err = pool.QueryRow(context.Background(), query).Scan(&result)
	return result, err
}
