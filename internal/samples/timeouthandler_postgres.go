package samples

import (
	"fmt"
	"net/http"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

// TimeoutHandlerPostgres answers 503 at the timeout, and pgx ends the query in PostgreSQL by a
// cancel request.
func TimeoutHandlerPostgres(pool *pgxpool.Pool, query string, timeout time.Duration) http.Handler {
	slow := func(w http.ResponseWriter, r *http.Request) {
		var result int
		err := pool.QueryRow(r.Context(), query).Scan(&result)
		if err != nil {
			if r.Context().Err() == nil {
				http.Error(w, err.Error(), http.StatusBadGateway)
			}
			return
		}
		fmt.Fprintln(w, result)
	}
	return http.TimeoutHandler(http.HandlerFunc(slow), timeout, "no answer in time")
}
