package samples_test

import (
	"errors"
	"testing"
	"time"

	"gotimeout/internal/backends/backendtest"
	"gotimeout/internal/samples"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// A real PostgreSQL takes the limit of one batch too, and the connection has none afterwards.
func TestServerLimitOfARealPostgres(t *testing.T) {
	pool, err := pgxpool.New(t.Context(), backendtest.RealServer(t, "POSTGRES_URL"))
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	var answer *pgconn.PgError
	if _, err := samples.ServerLimitPostgres(t.Context(), pool, "SELECT 1 FROM pg_sleep(60)", 100*time.Millisecond); !errors.As(err, &answer) || answer.Code != "57014" {
		t.Errorf("got %v", err)
	}
	var limit string
	if err := pool.QueryRow(t.Context(), "SHOW statement_timeout").Scan(&limit); err != nil || limit != "0" || pool.Stat().TotalConns() != 1 {
		t.Errorf("afterwards the limit is %q, %v, with %d connections", limit, err, pool.Stat().TotalConns())
	}
}
