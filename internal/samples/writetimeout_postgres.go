package samples

import (
	"fmt"
	"net/http"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

// WriteTimeoutPostgres does not end the handler at the timeout: its context goes on
// (https://go.dev/issue/59602), and so does the query. The client of a late handler gets a
// closed connection without a status.
func WriteTimeoutPostgres(pool *pgxpool.Pool, query string, timeout time.Duration) *http.Server {
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
	return &http.Server{Handler: http.HandlerFunc(slow), WriteTimeout: timeout}
}
