package samples

import (
	"fmt"
	"net/http"
	"time"

	"github.com/go-chi/chi/v5/middleware"
	"github.com/jackc/pgx/v5/pgxpool"
)

// ChiTimeoutPostgres gives the request's context the timeout. pgx returns, and ends the
// query in PostgreSQL by a cancel request.
func ChiTimeoutPostgres(pool *pgxpool.Pool, query string, timeout time.Duration) http.Handler {
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
	return middleware.Timeout(timeout)(http.HandlerFunc(slow))
}
