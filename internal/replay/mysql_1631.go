package replay

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/go-sql-driver/mysql"

	"gotimeout/internal/backends"
	dbbackend "gotimeout/internal/backends/db"
)

func mysqlSessions() Experiment {
	return Experiment{
		ID: "mysql-1631", Title: "calls that are cut pile up sessions in the server, over the pool's limit",
		Issues:   []string{"https://github.com/go-sql-driver/mysql/issues/1631"},
		Reported: "\"Error 1040: Too many connections\", although SetMaxOpenConns is far below the server's limit: the pool opens a connection for each one that a context closed, and the server's session lives until its query ends.",
		Does:     "Four workers cut queries of 20 s after 0.1 s each, over a pool of 4 connections, on a server that allows 10.",
		Remedy:   "Give the server the limit too: the hint MAX_EXECUTION_TIME (MySQL) or max_statement_time (MariaDB).",
		run:      replaySessions,
	}
}

func replaySessions(_ context.Context, remedy bool) (o Outcome, err error) {
	const allowed, workers, timeout = 10, 4, 100 * time.Millisecond
	server, err := dbbackend.StartWithin(backends.Options{MaxDelay: time.Minute}, allowed)
	if err != nil {
		return o, err
	}
	db, err := openMySQL(server.Addr, nil)
	if err != nil {
		return o, err
	}
	db.SetMaxOpenConns(workers)
	statement := "SELECT SLEEP(20)"
	if remedy {
		statement = fmt.Sprintf("SELECT /*+ MAX_EXECUTION_TIME(%d) */ SLEEP(20)", timeout.Milliseconds()/2)
	}
	var mu sync.Mutex
	refused, most, with := 0, 0, ""
	var working sync.WaitGroup
	for range workers {
		working.Go(func() {
			for range 8 {
				_, err := query(db, timeout, statement)
				mu.Lock()
				if answer := (*mysql.MySQLError)(nil); errors.As(err, &answer) && answer.Number == tooManyConnections {
					refused, with = refused+1, ": "+answer.Error()
				}
				most = max(most, len(server.Working()))
				mu.Unlock()
			}
		})
	}
	working.Wait()
	return Outcome{
		Saw: fmt.Sprintf("From a pool of %d connections the server worked on up to %d queries, and refused %d of %d calls%s.",
			workers, most, refused, 8*workers, with),
		Reproduced: refused > 0,
	}, nil
}

const tooManyConnections = 1040
