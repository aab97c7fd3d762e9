package postgresbackend

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5/pgxpool"

	"gotimeout/internal/backends"
)

// lookSQL lists the queries of all runs, without itself. PostgreSQL knows the statement, and so does the database of [Start].
const lookSQL = "SELECT pid, query FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%gotimeout run=%' AND pid <> pg_backend_pid()"

// Look returns the look into a PostgreSQL's pg_stat_activity. It needs the role pg_read_all_stats to see the queries of other
// users.
func Look(pool *pgxpool.Pool) backends.Look {
	return func(ctx context.Context) (s backends.Sessions, err error) {
		rows, err := pool.Query(ctx, lookSQL)
		if err != nil {
			return s, fmt.Errorf("read pg_stat_activity: %w", err)
		}
		defer rows.Close()
		s.Of = map[string]int64{}
		for rows.Next() {
			var pid int32
			var query string
			if err := rows.Scan(&pid, &query); err != nil {
				return s, fmt.Errorf("read pg_stat_activity: %w", err)
			}
			s.Of[backends.RunTag(query)] = int64(pid)
		}
		return s, rows.Err()
	}
}
