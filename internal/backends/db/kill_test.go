package dbbackend_test

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"testing"
	"time"

	"gotimeout/internal/backends"
	"gotimeout/internal/backends/backendtest"
	dbbackend "gotimeout/internal/backends/db"
)

const (
	endlessSleep     = "SELECT SLEEP(200) /* gotimeout run=sleep */"
	endlessBenchmark = "SELECT BENCHMARK(1000000000000, MD5('a')) /* gotimeout run=benchmark */"
	interrupted      = "1317 (70100) Query execution was interrupted"
)

// connect returns a new connection and its id.
func connect(t *testing.T, db *sql.DB) (*sql.Conn, string) {
	t.Helper()
	c, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c, ask(t.Context(), c, "SELECT CONNECTION_ID()")
}

// asking runs ask in the background.
func asking(ctx context.Context, c *sql.Conn, query string) <-chan string {
	answer := make(chan string, 1)
	go func() { answer <- ask(ctx, c, query) }()
	return answer
}

func exec(t *testing.T, db *sql.DB, query string) {
	t.Helper()
	if _, err := db.ExecContext(t.Context(), query); err != nil {
		t.Errorf("%s: %v", query, err)
	}
}

func TestKillQuery(t *testing.T) {
	for run, query := range map[string]string{"sleep": endlessSleep, "benchmark": endlessBenchmark} {
		t.Run(run, func(t *testing.T) {
			r := backendtest.NewRuns()
			s := backendtest.Start(t, dbbackend.Start, r.Options())
			db := open(t, s.Addr, "lab")
			c, id := connect(t, db)
			answer := asking(t.Context(), c, query)
			backendtest.Eventually(t, "began", r.HasBegun(run))
			exec(t, db, "KILL QUERY "+id)
			if got := <-answer; got != interrupted {
				t.Errorf("killed: %s", got)
			}
			r.Balanced(t, run)
			exec(t, db, "KILL QUERY "+id) // the connection is idle: nothing happens
			if got := ask(t.Context(), c, "SELECT 1"); got != "1" {
				t.Errorf("afterwards: %s", got)
			}
			if got := ask(t.Context(), c, "KILL QUERY "+id); got != interrupted {
				t.Errorf("a KILL of its own connection: %s", got)
			}
		})
	}
}

func TestKillConnection(t *testing.T) {
	r := backendtest.NewRuns()
	s := backendtest.Start(t, dbbackend.Start, r.Options())
	db := open(t, s.Addr, "lab")
	busy, busyID := connect(t, db)
	idle, idleID := connect(t, db)
	answer := asking(t.Context(), busy, endlessBenchmark)
	backendtest.Eventually(t, "began", r.HasBegun("benchmark"))
	exec(t, db, "KILL "+busyID)
	exec(t, db, "kill connection "+idleID)
	<-answer
	backendtest.Eventually(t, "ended", r.HasEnded("benchmark"))
	for name, c := range map[string]*sql.Conn{"busy": busy, "idle": idle} {
		if got := ask(t.Context(), c, "SELECT 1"); got == "1" {
			t.Errorf("the %s connection lives on", name)
		}
	}
	backendtest.Eventually(t, "the killed one is forgotten", func() bool {
		return ask(t.Context(), db, "KILL "+busyID) == "1094 (HY000) Unknown thread id: "+busyID
	})
	r.Balanced(t, "benchmark")
}

// leaveQuery cancels the context of a query that has begun. The driver then closes the socket and sends no KILL.
func leaveQuery(t *testing.T, r *backendtest.Runs, db *sql.DB, run, query string) {
	t.Helper()
	c, _ := connect(t, db)
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	answer := asking(ctx, c, query)
	backendtest.Eventually(t, "began", r.HasBegun(run))
	leave()
	if got := <-answer; got != context.Canceled.Error() {
		t.Errorf("%s: %s", query, got)
	}
}

// SLEEP notices that its client has left and ends. A computation doesn't notice, so a test with SLEEP alone would miss the waste.
func TestWhoNoticesThatTheClientHasLeft(t *testing.T) {
	r := backendtest.NewRuns()
	s, err := dbbackend.StartWith(r.Options(), 50*time.Millisecond, backendtest.Patience)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	db := open(t, s.Addr, "lab")
	leaveQuery(t, r, db, "benchmark", endlessBenchmark)
	leaveQuery(t, r, db, "sleep", endlessSleep)
	backendtest.Eventually(t, "SLEEP noticed", r.HasEnded("sleep"))
	jobs := s.Working()
	if len(jobs) != 1 || jobs[0].Run != "benchmark" || jobs[0].Work != endlessBenchmark {
		t.Errorf("Working() = %+v", jobs)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	r.Balanced(t, "benchmark", "sleep")
}

func TestSleepDoesNotNoticeBetweenLooks(t *testing.T) {
	r := backendtest.NewRuns()
	s := backendtest.Start(t, dbbackend.Start, r.Options())
	leaveQuery(t, r, open(t, s.Addr, "lab"), "sleep", endlessSleep)
	// The query of another client is answered long after the FIN has arrived, while SLEEP still goes on.
	if got := ask(t.Context(), open(t, s.Addr, "lab"), "SELECT SLEEP(0.2)"); got != "0" {
		t.Error(got)
	}
	if r.HasEnded("sleep")() {
		t.Error("SLEEP ended before its first check of the client")
	}
}

func TestSleepOutlivesManyLooks(t *testing.T) {
	t.Parallel()
	s, err := dbbackend.StartWith(backends.Options{MaxDelay: backendtest.Long}, time.Millisecond, backendtest.Patience)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	began := time.Now()
	if got := ask(t.Context(), open(t, s.Addr, "lab"), "SELECT SLEEP(0.2)"); got != "0" || time.Since(began) < 200*time.Millisecond {
		t.Errorf("%s after %s", got, time.Since(began))
	}
}

func TestDBCloseEndsEverything(t *testing.T) {
	r := backendtest.NewRuns()
	s := backendtest.Start(t, dbbackend.Start, r.Options())
	db := open(t, s.Addr, "lab")
	connect(t, db)
	for run, query := range map[string]string{"sleep": endlessSleep, "benchmark": endlessBenchmark} {
		c, _ := connect(t, db)
		answer := asking(t.Context(), c, query)
		defer func() { <-answer }()
		backendtest.Eventually(t, "began", r.HasBegun(run))
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	r.Balanced(t, "sleep", "benchmark")
}

func TestShowProcesslist(t *testing.T) {
	r := backendtest.NewRuns()
	s := backendtest.Start(t, dbbackend.Start, r.Options())
	db := open(t, s.Addr, "lab")
	connect(t, db) // idle
	c, id := connect(t, db)
	query := endlessSleep + strings.Repeat(" ", 100) + "-- end"
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	answer := asking(ctx, c, query)
	backendtest.Eventually(t, "began", r.HasBegun("sleep"))

	for show, info := range map[string]string{"SHOW FULL PROCESSLIST": query, "show processlist": query[:100]} {
		found := map[string]string{}
		rows, err := db.QueryContext(t.Context(), show)
		if err != nil {
			t.Fatal(err)
		}
		var p struct {
			id, user, host, command, state string
			schema, info                   sql.NullString
			seconds                        int
		}
		for rows.Next() {
			if err := rows.Scan(&p.id, &p.user, &p.host, &p.schema, &p.command, &p.seconds, &p.state, &p.info); err != nil {
				t.Fatal(err)
			}
			found[p.id] = strings.Join([]string{p.user, p.schema.String, p.command, p.state, p.info.String}, "|")
		}
		if err := errors.Join(rows.Err(), rows.Close()); err != nil {
			t.Fatal(err)
		}
		if want := "lab|any|Query|User sleep|" + info; found[id] != want {
			t.Errorf("%s: %q, want %q", show, found[id], want)
		}
		if len(found) != 3 {
			t.Errorf("%s: %v", show, found)
		}
	}
	leave()
	<-answer
}
