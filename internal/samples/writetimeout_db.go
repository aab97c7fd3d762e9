package samples

import (
	"database/sql"
	"fmt"
	"net/http"
	"time"
)

// WriteTimeoutDB does not end the handler at the timeout: its context goes on
// (https://go.dev/issue/59602), and so does the query. The client of a late handler gets a
// closed connection without a status.
func WriteTimeoutDB(db *sql.DB, query string, timeout time.Duration) *http.Server {
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
	return &http.Server{Handler: http.HandlerFunc(slow), WriteTimeout: timeout}
}
