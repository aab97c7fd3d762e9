package samples

import (
	"context"
	"database/sql"
	"time"
)

// GoroutineAbandonDB answers on time. The query runs on and keeps its connection: with
// a pool of four, four abandoned queries make all other callers wait.
func GoroutineAbandonDB(db *sql.DB, query string, timeout time.Duration) (int, error) {
	type result struct {
		result int
		err    error
	}
	done := make(chan result, 1) // without the buffer an abandoned goroutine never ends
	go func() {
		var r result
		r.err = db.QueryRow(query).Scan(&r.result)
		done <- r
	}()
	select {
	case r := <-done:
		return r.result, r.err
	case <-time.After(timeout):
		return 0, context.DeadlineExceeded
	}
}
