package samples

import (
	"database/sql"
	"fmt"
	"net/http"
	"time"
)

// TimeoutHandlerDB answers 503 at the timeout, and the driver closes its connection, but the
// query runs to its end in MySQL (https://github.com/go-sql-driver/mysql/issues/731).
func TimeoutHandlerDB(db *sql.DB, query string, timeout time.Duration) http.Handler {
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
	return http.TimeoutHandler(http.HandlerFunc(slow), timeout, "no answer in time")
}
