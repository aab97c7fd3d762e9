package samples

import (
	"context"
	"database/sql"
	"fmt"
	"time"
)

// KillQueryDB has MySQL end the query at the timeout: the error is 1317. The connection goes
// back to the pool only after the KILL has its answer, because a KILL that comes late would
// end the next query of the connection (https://github.com/go-sql-driver/mysql/pull/791). The
// second connection must reach the same server: not so behind a load balancer. MySQL ends a
// SELECT SLEEP without an error: it returns 1. MariaDB ends BENCHMARK without one.
func KillQueryDB(ctx context.Context, db *sql.DB, query string, timeout time.Duration) (result int, err error) {
	conn, err := db.Conn(ctx)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	var id int
	if err := conn.QueryRowContext(ctx, "SELECT CONNECTION_ID()").Scan(&id); err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	asking, leave := context.WithCancel(context.WithoutCancel(ctx))
	defer leave()
	killed := make(chan error, 1)
	going := context.AfterFunc(ctx, func() {
		time.AfterFunc(time.Second, leave) // a server that answers nobody
		within, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_, err := db.ExecContext(within, fmt.Sprintf("KILL QUERY %d", id))
		killed <- err
	})
	err = conn.QueryRowContext(asking, query).Scan(&result)
	if !going() && <-killed == nil {
		_, _ = conn.ExecContext(asking, "DO 0") // a KILL that came after the answer ends this
	}
	return result, err
}
