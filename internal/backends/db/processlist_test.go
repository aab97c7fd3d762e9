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

// watching watches a run and returns what ended is called with.
func watching(p *dbbackend.ProcessList, run string) <-chan bool {
	ended := make(chan bool, 2) // room for a call too many
	p.Query(run).Left(dbbackend.Way{}, func(_ time.Time, known bool) { ended <- known })
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
		t.Fatalf("no ended within %s", backendtest.Patience)
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
	p := dbbackend.NewProcessList(db, 5*time.Millisecond)
	defer p.Close()
	within(t, watching(p, "nobody"), true)

	kill12 := running(t, db, "SELECT SLEEP(100) /* gotimeout run=12 */")
	kill123 := running(t, db, "SELECT /*gotimeout run=123*/ SLEEP(100)")
	run1, run12, run123, again := watching(p, "1"), watching(p, "12"), watching(p, "123"), watching(p, "123")
	within(t, run1, true)
	if len(run12)+len(run123) > 0 {
		t.Error("ended while it runs")
	}
	kill12()
	within(t, run12, true)
	within(t, watching(p, "nobody"), true) // another look
	if len(run123)+len(again) > 0 {
		t.Error("123 ended with 12")
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
	p := dbbackend.NewProcessList(open(t, s.Addr, "root"), time.Millisecond)
	defer p.Close()
	within(t, watching(p, "1"), false)
	within(t, watching(p, "2"), false) // it looks again for the next one
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

	p := dbbackend.NewProcessList(db, time.Hour)
	ended := watching(p, "sleep")
	p.Close()
	within(t, ended, false)
	within(t, watching(p, "late"), false)
	p.Close()
}

// fakeServer is a server whose process list is what it is set to, for tests of time and of how often it is asked.
type fakeServer struct {
	mu    sync.Mutex
	list  []session
	looks int
}

// session is a row of the process list.
type session struct {
	id          int
	state, info string
}

// set makes the process list show the queries of these runs, one a session from 1 on.
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
	driver.Conn // for the methods that nobody calls
	f           *fakeServer
}

func (c fakeConn) Close() error { return nil }

func (c fakeConn) QueryContext(context.Context, string, []driver.NamedValue) (driver.Rows, error) {
	c.f.mu.Lock()
	defer c.f.mu.Unlock()
	c.f.looks++
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

// hourly returns a process list that is read once an hour, of a server that shows these runs, and the time of the test's begin.
func hourly(t *testing.T, runs ...string) (*fakeServer, *dbbackend.ProcessList, time.Time) {
	f := &fakeServer{}
	f.set(runs...)
	db := sql.OpenDB(f)
	t.Cleanup(func() { db.Close() })
	p := dbbackend.NewProcessList(db, time.Hour)
	t.Cleanup(p.Close)
	return f, p, time.Now()
}

// end is when a run ended, and when that was told, from the begin of a test.
type end struct{ at, told time.Duration }

// endOf returns when a run ended, once that is told.
func endOf(p *dbbackend.ProcessList, run string, inTransit time.Duration, began time.Time) <-chan end {
	ends := make(chan end, 1)
	p.Query(run).Left(dbbackend.Way{InTransit: inTransit}, func(at time.Time, known bool) {
		if known {
			ends <- end{at.Sub(began), time.Since(began)}
		}
	})
	return ends
}

// Many runs share a look, looks are as far apart as was asked for, and nobody looks while nothing is watched. A run ended at
// the first of two looks that do not show it.
func TestProcessListLooks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, p, began := hourly(t, "a", "b")
		a, b := endOf(p, "a", 0, began), endOf(p, "b", 0, began)
		time.Sleep(150 * time.Minute) // looks at 60 and 120 minutes
		f.set("b")
		if got := <-a; got != (end{3 * time.Hour, 4 * time.Hour}) {
			t.Errorf("a: %+v", got)
		}
		f.set()
		if got := <-b; got != (end{5 * time.Hour, 6 * time.Hour}) {
			t.Errorf("b: %+v", got)
		}
		time.Sleep(100 * time.Hour)
		if f.looks != 6 {
			t.Errorf("%d looks", f.looks)
		}
		if got := <-endOf(p, "c", 0, began); got != (end{107 * time.Hour, 108 * time.Hour}) || f.looks != 8 {
			t.Errorf("c: %+v after %d looks", got, f.looks)
		}
	})
}

// A look that misses a query is no end of it.
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

// A session that the server could not lock is listed without its query. That is no evidence of an end, however often: for the
// session of a query that was seen, and for each session where the query was not.
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

// A query whose answer has come ended when the list first did not show it, which is before its answer came, or else with its
// answer. It is not watched any longer. A short one costs no look.
func TestProcessListAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, p, began := hourly(t, "seen", "runs")
		check := func(run string, q *dbbackend.Query, want time.Duration) {
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
		if n := len(p.Runs()); n > 0 || f.looks != 4 {
			t.Errorf("%d queries are watched after %d looks", n, f.looks)
		}
		p.Query("short").NotSent()
		time.Sleep(100 * time.Hour)
		if f.looks != 4 {
			t.Errorf("%d looks after a query of no length", f.looks)
		}
	})
}

// A query that had ended before its caller left, and was seen, ended then.
func TestProcessListEndedBeforeItsCallerLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, p, began := hourly(t, "a")
		q, told := p.Query("a"), make(chan time.Duration, 1)
		time.Sleep(90 * time.Minute)
		f.set() // from 2 h
		time.Sleep(3 * time.Hour)
		q.Left(dbbackend.Way{InTransit: 100 * time.Hour}, func(at time.Time, known bool) { told <- at.Sub(began) })
		if at := <-told; at != 2*time.Hour || time.Since(began) != 5*time.Hour {
			t.Errorf("ended at %s, which was told after %s", at, time.Since(began))
		}
	})
}

// A query that is on its way when the first looks come has not ended. One that
// never comes had ended before the first.
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

// Where packets are lost a query that was never seen may come at any time: its end
// is unknown. A query that was seen has ended as elsewhere.
func TestProcessListWhereQueriesAreLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, p, _ := hourly(t, "seen")
		known := map[string]chan bool{"seen": make(chan bool, 1), "never": make(chan bool, 1)}
		for run, ended := range known {
			p.Query(run).Left(dbbackend.Way{InTransit: time.Hour, Lossy: true}, func(_ time.Time, known bool) { ended <- known })
		}
		time.Sleep(90 * time.Minute)
		f.set()
		if !<-known["seen"] || <-known["never"] {
			t.Error("want the end of the query that was seen, and none of the one that was not")
		}
	})
}
