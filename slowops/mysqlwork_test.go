package slowops_test

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"gotimeout/slowops"
)

func TestCalibratedWork(t *testing.T) {
	everywhere(t, allOps, realOps, func(t *testing.T, s subject) {
		if s.work != slowops.WorkCPU {
			t.Skip("no BENCHMARK")
		}
		took, err := timed(t.Context(), s.do, s.call("work", 2*short))
		if err != nil || took < short/2 || took > patience {
			t.Errorf("%v after %s", err, took)
		}
	})
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
