package samples

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

// TimerPanicPostgres is a timeout by exception in Go, as gevent has it for Python.
// It answers no sooner than context-cancel does, leaves the same behind, and throws a
// late result away.
func TimerPanicPostgres(ctx context.Context, pool *pgxpool.Pool, query string, timeout time.Duration) (result int, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	timer := time.AfterFunc(timeout, func() { cancel(context.DeadlineExceeded) }) // a panic here would end the process
	defer timer.Stop()
	defer func() {
		if v := recover(); v == context.DeadlineExceeded {
			err = context.DeadlineExceeded
		} else if v != nil {
			panic(v)
		}
	}()
	err = pool.QueryRow(ctx, query).Scan(&result)
	if context.Cause(ctx) == context.DeadlineExceeded { // not inside the library, whose locks would stay held
		panic(context.DeadlineExceeded)
	}
	return result, err
}
