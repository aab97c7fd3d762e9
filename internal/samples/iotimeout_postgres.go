package samples

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

// IOTimeoutPostgres bounds the connection alone: connect_timeout, which is the only timeout that
// pgx has, covers the dial, the TLS handshake and the login. No query is cut by it: that takes
// a context, or statement_timeout in PostgreSQL. Keep the pool for the life of the program.
func IOTimeoutPostgres(url, query string, timeout time.Duration) (result int, err error) {
	cfg, err := pgxpool.ParseConfig(url)
	if err != nil {
		return 0, err
	}
	cfg.ConnConfig.ConnectTimeout = timeout
	pool, err := pgxpool.NewWithConfig(context.Background(), cfg)
	if err != nil {
		return 0, err
	}
	defer pool.Close()
	err = pool.QueryRow(context.Background(), query).Scan(&result)
	return result, err
}
