package replay

import (
	"context"
	"errors"
	"fmt"

	"gotimeout/internal/backends"
)

func mysqlPoisonedPool() Experiment {
	return Experiment{
		ID: "mysql-836", Title: "a cancelled query poisons the pool for the next one",
		Issues:   []string{"https://github.com/go-sql-driver/mysql/issues/836", "https://github.com/go-sql-driver/mysql/pull/1095"},
		Reported: "When a query is cancelled, its connection goes back into the pool, and the next query, which nobody cancels, fails with \"invalid connection\" (the driver of 2018).",
		Does:     "500 times a query is cancelled as it begins, and a query without a timeout follows from the same pool of one connection.",
		Remedy:   "SetMaxIdleConns(-1): no connection is used twice.",
		run:      replayPoisonedPool,
	}
}

func replayPoisonedPool(_ context.Context, remedy bool) (o Outcome, err error) {
	db, _, err := startMySQL(backends.Options{}, 1)
	if err != nil {
		return o, err
	}
	if remedy {
		db.SetMaxIdleConns(-1)
	}
	const rounds = 500
	cancelled, failed, wrong := 0, 0, 0
	for range rounds {
		ctx, cancel := context.WithCancel(context.Background())
		go cancel()
		var answer int
		if err := db.QueryRowContext(ctx, "SELECT 1").Scan(&answer); errors.Is(err, context.Canceled) {
			cancelled++
		}
		switch answer, err := query(db, 0, "SELECT 2"); {
		case err != nil:
			failed++
		case answer != 2:
			wrong++
		}
	}
	return Outcome{
		Saw:        fmt.Sprintf("Of %d queries %d were cancelled; of the queries that followed, %d failed and %d had another query's answer.", rounds, cancelled, failed, wrong),
		Reproduced: failed+wrong > 0,
	}, nil
}
