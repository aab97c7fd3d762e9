package samples

import (
	"database/sql"
	"fmt"
	"net/http"
	"time"

	"github.com/go-chi/chi/v5/middleware"
)

// ChiTimeoutDB gives the request's context the timeout. The driver closes its connection, and
// the query runs to its end in MySQL (https://github.com/go-sql-driver/mysql/issues/731).
func ChiTimeoutDB(db *sql.DB, query string, timeout time.Duration) http.Handler {
	slow := func(w http.ResponseWriter, r *http.Request) {
		var result int
		err := db.QueryRowContext(r.Context(), query).Scan(&result) // QueryRow would ignore the context
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
