package slowops_test

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	dbbackend "gotimeout/internal/backends/db"
	"gotimeout/slowops"
)

func TestCalibratedWork(t *testing.T) {
	t.Run("embedded", func(t *testing.T) { calibratedWork(t, lab(backend(t, dbbackend.Start, new(runs)))) })
	t.Run("real", func(t *testing.T) { calibratedWork(t, realServer(t, "MYSQL_DSN")) })
}

// calibratedWork fails unless work takes about what it should. On a busy machine
// one of the two may have been slowed down and not the other: it tries again.
func calibratedWork(t *testing.T, dsn string) {
	t.Helper()
	var took time.Duration
	for range 5 {
		db := newMySQL(t, dsn, 0)
		calibrate(t, db)
		var err error
		took, err = timed(t.Context(), db.Do, slowops.Call{Work: slowops.WorkCPU, Delay: 2 * short})
		if err != nil {
			t.Fatal(err)
		}
		if took > short/2 && took < patience {
			return
		}
	}
	t.Errorf("%s of work took %s", 2*short, took)
}

func TestCalibrateEndsWithItsContext(t *testing.T) {
	db := newMySQL(t, lab(serve(t, func(c net.Conn) { _, _ = io.Copy(io.Discard, c) })), 0)
	ctx, cancel := context.WithTimeout(t.Context(), short)
	defer cancel()
	if err := db.Calibrate(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

// The driver closes its connection and sends no KILL: the work goes on for
// nobody. https://github.com/go-sql-driver/mysql/issues/731
func TestCancelledBenchmarkGoesOn(t *testing.T) {
	op := newMySQL(t, realServer(t, "MYSQL_DSN"), 0)
	calibrate(t, op)
	ctx, cancel := context.WithTimeout(t.Context(), 2*short)
	defer cancel()
	c := slowops.Call{Run: "goes-on", Work: slowops.WorkCPU, Delay: 3 * time.Second}
	if err := op.Do(ctx, c); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatal(err)
	}
	db, err := op.DB()
	if err != nil {
		t.Fatal(err)
	}
	if process(t, db, c.Run) == "" {
		t.Error("the query ended with its client: the server has changed")
	}
	eventually(t, "the query's own end", func() bool { return process(t, db, c.Run) == "" })
}
