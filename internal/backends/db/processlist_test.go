package dbbackend_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"io"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"gotimeout/internal/backends"
	"gotimeout/internal/backends/backendtest"
	dbbackend "gotimeout/internal/backends/db"
)

// watching watches the query of a run, and returns a channel of the calls of ended.
func watching(p *backends.ProcessList, run string) <-chan bool {
	ended := make(chan bool, 2) // has room for one call too many
	p.Query(run).Left(backends.Way{}, func(_ time.Time, known bool) { ended <- known })
	return ended
}

func within(t *testing.T, ended <-chan bool, want bool) {
	t.Helper()
	select {
	case known := <-ended:
		if known != want {
			t.Errorf("ended(%t), want ended(%t)", known, want)
		}
	case <-time.After(backendtest.Patience):
		t.Fatalf("ended was not called within %s", backendtest.Patience)
	}
}

// running starts a query and waits until the list shows it. The returned function kills it.
func running(t *testing.T, db *sql.DB, query string) (kill func()) {
	t.Helper()
	c, id := connect(t, db)
	answer := asking(t.Context(), c, query)
	backendtest.Eventually(t, "in the process list", func() bool { return listed(t, db, query) })
	return func() {
		exec(t, db, "KILL QUERY "+id)
		<-answer
	}
}

func listed(t *testing.T, db *sql.DB, query string) bool {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), "SHOW FULL PROCESSLIST")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		t.Fatal(err)
	}
	for rows.Next() {
		row := make([]any, len(columns))
		for i := range row {
			row[i] = new(sql.RawBytes)
		}
		if err := rows.Scan(row...); err != nil {
			t.Fatal(err)
		}
		if string(*row[7].(*sql.RawBytes)) == query {
			return true
		}
	}
	return false
}

func checkProcessList(t *testing.T, db *sql.DB) {
	p := backends.NewProcessList(dbbackend.Look(db), 5*time.Millisecond)
	defer p.Close()
	within(t, watching(p, "nobody"), true)

	kill12 := running(t, db, "SELECT SLEEP(100) /* gotimeout run=12 */")
	kill123 := running(t, db, "SELECT /*gotimeout run=123*/ SLEEP(100)")
	run1, run12, run123, again := watching(p, "1"), watching(p, "12"), watching(p, "123"), watching(p, "123")
	within(t, run1, true)
	if len(run12)+len(run123) > 0 {
		t.Error("ended was called while the query runs")
	}
	kill12()
	within(t, run12, true)
	within(t, watching(p, "nobody"), true) // the list is read again
	if len(run123)+len(again) > 0 {
		t.Error("ended was called for 123 when 12 ended")
	}
	kill123()
	within(t, run123, true)
	within(t, again, true)

	p.Close()
	for _, ended := range []<-chan bool{run1, run12, run123, again} {
		if len(ended) > 0 {
			t.Error("ended was called twice")
		}
	}
}

func TestProcessList(t *testing.T) {
	s := backendtest.Start(t, dbbackend.Start, backends.Options{MaxDelay: backendtest.Long})
	checkProcessList(t, open(t, s.Addr, "lab"))
}

func TestProcessListOfMySQL(t *testing.T) {
	dsn := backendtest.RealServer(t, "MYSQL_DSN")
	db, err := sql.Open("mysql", dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	checkProcessList(t, db)
}

func TestProcessListThatCannotBeRead(t *testing.T) {
	s := backendtest.Start(t, dbbackend.Start, backends.Options{})
	p := backends.NewProcessList(dbbackend.Look(open(t, s.Addr, "root")), time.Millisecond)
	defer p.Close()
	within(t, watching(p, "1"), false)
	within(t, watching(p, "2"), false) // it reads the list again for the next query
}

func TestProcessListClose(t *testing.T) {
	r := backendtest.NewRuns()
	s := backendtest.Start(t, dbbackend.Start, r.Options())
	db := open(t, s.Addr, "lab")
	c, _ := connect(t, db)
	ctx, leave := context.WithCancel(t.Context())
	answer := asking(ctx, c, endlessSleep)
	defer func() { leave(); <-answer }()
	backendtest.Eventually(t, "began", r.HasBegun("sleep"))

	p := backends.NewProcessList(dbbackend.Look(db), time.Hour)
	ended := watching(p, "sleep")
	p.Close()
	within(t, ended, false)
	within(t, watching(p, "late"), false)
	p.Close()
}

// fakeServer is a server whose process list the test sets. It counts how often the list is read.
type fakeServer struct {
	mu    sync.Mutex
	list  []session
	reads int
}

// session is a row of the process list.
type session struct {
	id          int
	state, info string
}

// set makes the process list show the queries of the runs, in sessions that are numbered from 1.
func (f *fakeServer) set(runs ...string) {
	var list []session
	for i, run := range runs {
		list = append(list, session{i + 1, "User sleep", "SELECT 1 /* gotimeout run=" + run + " */"})
	}
	f.setSessions(list...)
}

func (f *fakeServer) setSessions(list ...session) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.list = list
}

func (f *fakeServer) Connect(context.Context) (driver.Conn, error) { return fakeConn{f: f}, nil }
func (f *fakeServer) Driver() driver.Driver                        { return nil }

type fakeConn struct {
	driver.Conn // has the methods that nobody calls
	f           *fakeServer
}

func (c fakeConn) Close() error { return nil }

func (c fakeConn) QueryContext(context.Context, string, []driver.NamedValue) (driver.Rows, error) {
	c.f.mu.Lock()
	defer c.f.mu.Unlock()
	c.f.reads++
	return &fakeRows{rest: c.f.list}, nil
}

type fakeRows struct{ rest []session }

func (r *fakeRows) Columns() []string { return []string{"ID", "STATE", "INFO"} }
func (r *fakeRows) Close() error      { return nil }
func (r *fakeRows) Next(row []driver.Value) error {
	if len(r.rest) == 0 {
		return io.EOF
	}
	row[0], row[1], row[2] = int64(r.rest[0].id), r.rest[0].state, driver.Value(nil)
	if r.rest[0].info != "" {
		row[2] = r.rest[0].info
	}
	r.rest = r.rest[1:]
	return nil
}

// hourly returns a server that shows the runs, its process list, which is read once an hour, and the time at which the test began.
func hourly(t *testing.T, runs ...string) (*fakeServer, *backends.ProcessList, time.Time) {
	f := &fakeServer{}
	f.set(runs...)
	db := sql.OpenDB(f)
	t.Cleanup(func() { db.Close() })
	p := backends.NewProcessList(dbbackend.Look(db), time.Hour)
	t.Cleanup(p.Close)
	return f, p, time.Now()
}

// end has the time at which a query ended, and the time at which the list reported the end. Both count from the begin of the test.
type end struct{ at, told time.Duration }

// endOf returns a channel of the end of a run's query.
func endOf(p *backends.ProcessList, run string, inTransit time.Duration, began time.Time) <-chan end {
	ends := make(chan end, 1)
	p.Query(run).Left(backends.Way{InTransit: inTransit}, func(at time.Time, known bool) {
		if known {
			ends <- end{at.Sub(began), time.Since(began)}
		}
	})
	return ends
}

// The list is read once for all queries, at the interval that was asked for, and not while no query is watched. A query ended at
// the first of two reads that don't show it.
func TestProcessListLooks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, p, began := hourly(t, "a", "b")
		a, b := endOf(p, "a", 0, began), endOf(p, "b", 0, began)
		time.Sleep(150 * time.Minute) // reads at 60 and 120 minutes
		f.set("b")
		if got := <-a; got != (end{3 * time.Hour, 4 * time.Hour}) {
			t.Errorf("a: %+v", got)
		}
		f.set()
		if got := <-b; got != (end{5 * time.Hour, 6 * time.Hour}) {
			t.Errorf("b: %+v", got)
		}
		time.Sleep(100 * time.Hour)
		if f.reads != 6 {
			t.Errorf("the list was read %d times", f.reads)
		}
		if got := <-endOf(p, "c", 0, began); got != (end{107 * time.Hour, 108 * time.Hour}) || f.reads != 8 {
			t.Errorf("c: %+v after %d reads", got, f.reads)
		}
	})
}

// A query that only one read misses has not ended.
func TestProcessListMissesOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, p, began := hourly(t, "a")
		a := endOf(p, "a", 0, began)
		time.Sleep(90 * time.Minute)
		f.set() // at 2 h
		time.Sleep(time.Hour)
		f.set("a") // at 3 h and 4 h
		time.Sleep(2 * time.Hour)
		f.set()
		if got := <-a; got != (end{5 * time.Hour, 6 * time.Hour}) {
			t.Errorf("%+v", got)
		}
	})
}

// The list shows a session that the server could not lock as Busy, without its query. A query that was seen in that session has
// not ended, however often the session is Busy. A query that was not seen may run in any Busy session.
func TestProcessListBusySession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, p, began := hourly(t, "a", "b")
		a, b, unseen := endOf(p, "a", 0, began), endOf(p, "b", 0, began), endOf(p, "unseen", 0, began)
		time.Sleep(90 * time.Minute)
		f.setSessions(session{1, "Busy", ""}) // from 2 h; the session of a
		time.Sleep(5 * time.Hour)
		f.set() // from 7 h
		if got := <-b; got != (end{2 * time.Hour, 3 * time.Hour}) {
			t.Errorf("b: %+v", got)
		}
		if got := <-a; got != (end{7 * time.Hour, 8 * time.Hour}) {
			t.Errorf("a: %+v", got)
		}
		if got := <-unseen; got != (end{time.Hour, 7 * time.Hour}) {
			t.Errorf("unseen: %+v", got)
		}
	})
}

// A query that was answered ended when the list first did not show it, or else with its answer. The list no longer watches it.
// For a short query the list is never read.
func TestProcessListAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, p, began := hourly(t, "seen", "runs")
		check := func(run string, q *backends.Query, want time.Duration) {
			t.Helper()
			if got := q.Answered().Sub(began); got != want {
				t.Errorf("%s ended at %s, want %s", run, got, want)
			}
		}
		check("short", p.Query("short"), 0)
		seen, runs, unseen := p.Query("seen"), p.Query("runs"), p.Query("unseen")
		time.Sleep(90 * time.Minute)
		f.set("runs") // from 2 h
		time.Sleep(3 * time.Hour)
		check("seen", seen, 2*time.Hour)
		check("runs", runs, 270*time.Minute)
		check("unseen", unseen, 270*time.Minute)
		time.Sleep(100 * time.Hour)
		if n := len(p.Runs()); n > 0 || f.reads != 4 {
			t.Errorf("%d queries are watched after %d reads", n, f.reads)
		}
		p.Query("short").NotSent()
		time.Sleep(100 * time.Hour)
		if f.reads != 4 {
			t.Errorf("%d reads after a query that was not sent", f.reads)
		}
	})
}

// A query that was seen and ended before its caller left has the earlier time.
func TestProcessListEndedBeforeItsCallerLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, p, began := hourly(t, "a")
		q, told := p.Query("a"), make(chan time.Duration, 1)
		time.Sleep(90 * time.Minute)
		f.set() // from 2 h
		time.Sleep(3 * time.Hour)
		q.Left(backends.Way{InTransit: 100 * time.Hour}, func(at time.Time, known bool) { told <- at.Sub(began) })
		if at := <-told; at != 2*time.Hour || time.Since(began) != 5*time.Hour {
			t.Errorf("ended at %s, reported after %s", at, time.Since(began))
		}
	})
}

// A query that is still on its way at the first reads has not ended. A query that never
// arrives had ended before the first read.
func TestProcessListQueryOnItsWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, p, began := hourly(t)
		late, never := endOf(p, "late", 210*time.Minute, began), endOf(p, "never", 210*time.Minute, began)
		time.Sleep(150 * time.Minute)
		f.set("late") // from 3 h
		time.Sleep(6 * time.Hour)
		f.set() // from 9 h
		if got := <-late; got != (end{9 * time.Hour, 10 * time.Hour}) {
			t.Errorf("late: %+v", got)
		}
		if got := <-never; got != (end{time.Hour, 4 * time.Hour}) {
			t.Errorf("never: %+v", got)
		}
	})
}

// On a network that loses packets a query that was never seen may arrive at any time, so
// its end is unknown. The end of a query that was seen is known.
func TestProcessListWhereQueriesAreLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, p, _ := hourly(t, "seen")
		known := map[string]chan bool{"seen": make(chan bool, 1), "never": make(chan bool, 1)}
		for run, ended := range known {
			p.Query(run).Left(backends.Way{InTransit: time.Hour, Lossy: true}, func(_ time.Time, known bool) { ended <- known })
		}
		time.Sleep(90 * time.Minute)
		f.set()
		if !<-known["seen"] || <-known["never"] {
			t.Error("want the end of the query that was seen, and no end of the query that was not")
		}
	})
}
