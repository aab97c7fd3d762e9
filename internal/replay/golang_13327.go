package replay

import (
	"context"
	"fmt"
	"time"

	"gotimeout/internal/backends"
	"gotimeout/strategies"
)

func sqlPool() Experiment {
	return Experiment{
		ID: "golang-13327", Title: "queries that were abandoned hold their connections, and the pool is empty",
		Issues:   []string{"https://go.dev/issue/13327", "https://go.dev/issue/16873"},
		Reported: "Under load all of a pool's connections are taken; callers have given up long ago, and their queries go on. Everybody else waits for a connection, without any bound.",
		Does:     "Two queries of 3 s run on goroutines that their callers abandon after 0.1 s, from a pool of two connections. Then a query of no time is made.",
		Remedy:   "Pass the context to the query, QueryContext, instead of waiting beside the query.",
		run:      replayPool,
	}
}

func replayPool(ctx context.Context, remedy bool) (o Outcome, err error) {
	const work, conns = 3 * time.Second, 2
	db, _, err := startMySQL(backends.Options{}, conns)
	if err != nil {
		return o, err
	}
	way := new(strategies.GoroutineAbandon).Do
	if remedy {
		way = strategies.ContextCancel{}.Do
	}
	ask := func(ctx context.Context) error {
		var answer int
		return db.QueryRowContext(ctx, fmt.Sprintf("SELECT SLEEP(%d)", int(work.Seconds()))).Scan(&answer)
	}
	answered := make(chan error, conns)
	for range conns {
		go func() { answered <- way(ctx, 100*time.Millisecond, ask) }()
	}
	for range conns {
		<-answered
	}
	taken, began := db.Stats().InUse, time.Now()
	if _, err := query(db, 0, "SELECT 1"); err != nil {
		return o, err
	}
	waited := time.Since(began)
	return Outcome{
		Saw:        fmt.Sprintf("When both callers had left, %d of %d connections were taken; the next query waited %s.", taken, conns, sec(waited)),
		Reproduced: taken == conns && waited > work/3,
	}, nil
}
