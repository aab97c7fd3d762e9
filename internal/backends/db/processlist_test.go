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
	p.Watch(run, dbbackend.Way{}, func(_ time.Time, known bool) { ended <- known })
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
	list  []string
	looks int
}

func (f *fakeServer) set(list ...string) {
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
	return &fakeRows{left: c.f.list}, nil
}

type fakeRows struct{ left []string }

func (r *fakeRows) Columns() []string { return []string{"INFO"} }
func (r *fakeRows) Close() error      { return nil }
func (r *fakeRows) Next(row []driver.Value) error {
	if len(r.left) == 0 {
		return io.EOF
	}
	row[0], r.left = r.left[0], r.left[1:]
	return nil
}

// end is when a run ended, and when that was told, from the begin of a test.
type end struct{ at, told time.Duration }

// endOf returns when a run ended, once that is told.
func endOf(p *dbbackend.ProcessList, run string, inTransit time.Duration, began time.Time) <-chan end {
	ends := make(chan end, 1)
	p.Watch(run, dbbackend.Way{InTransit: inTransit}, func(at time.Time, known bool) {
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
		f := &fakeServer{}
		f.set("SELECT 1 /* gotimeout run=a */", "SELECT 1 /* gotimeout run=b */")
		db := sql.OpenDB(f)
		defer db.Close()
		p := dbbackend.NewProcessList(db, time.Hour)
		defer p.Close()

		began := time.Now()
		a, b := endOf(p, "a", 0, began), endOf(p, "b", 0, began)
		time.Sleep(150 * time.Minute) // looks at 0, 60 and 120 minutes
		f.set("SELECT 1 /* gotimeout run=b */")
		if got := <-a; got != (end{3 * time.Hour, 4 * time.Hour}) {
			t.Errorf("a: %+v", got)
		}
		f.set()
		if got := <-b; got != (end{5 * time.Hour, 6 * time.Hour}) {
			t.Errorf("b: %+v", got)
		}
		time.Sleep(100 * time.Hour)
		if f.looks != 7 {
			t.Errorf("%d looks", f.looks)
		}
		if got := <-endOf(p, "c", 0, began); got != (end{106 * time.Hour, 107 * time.Hour}) || f.looks != 9 {
			t.Errorf("c: %+v after %d looks", got, f.looks)
		}
	})
}

// A look that misses a query is no end of it.
func TestProcessListMissesOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeServer{}
		f.set("SELECT 1 /* gotimeout run=a */")
		db := sql.OpenDB(f)
		defer db.Close()
		p := dbbackend.NewProcessList(db, time.Hour)
		defer p.Close()
		began := time.Now()
		a := endOf(p, "a", 0, began)
		time.Sleep(30 * time.Minute)
		f.set() // at 1 h
		time.Sleep(time.Hour)
		f.set("SELECT 1 /* gotimeout run=a */") // at 2 h and 3 h
		time.Sleep(2 * time.Hour)
		f.set()
		if got := <-a; got != (end{4 * time.Hour, 5 * time.Hour}) {
			t.Errorf("%+v", got)
		}
	})
}

// A query that is on its way when the first looks come has not ended. One that
// never comes had ended before the first.
func TestProcessListQueryOnItsWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeServer{}
		db := sql.OpenDB(f)
		defer db.Close()
		p := dbbackend.NewProcessList(db, time.Hour)
		defer p.Close()
		began := time.Now()
		late, never := endOf(p, "late", 210*time.Minute, began), endOf(p, "never", 210*time.Minute, began)
		time.Sleep(150 * time.Minute)
		f.set("SELECT 1 /* gotimeout run=late */") // from 3 h
		time.Sleep(6 * time.Hour)
		f.set() // from 9 h
		if got := <-late; got != (end{9 * time.Hour, 10 * time.Hour}) {
			t.Errorf("late: %+v", got)
		}
		if got := <-never; got != (end{0, 4 * time.Hour}) {
			t.Errorf("never: %+v", got)
		}
	})
}

// Where packets are lost a query that was never seen may come at any time: its end
// is unknown. A query that was seen has ended as elsewhere.
func TestProcessListWhereQueriesAreLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeServer{}
		f.set("SELECT 1 /* gotimeout run=seen */")
		db := sql.OpenDB(f)
		defer db.Close()
		p := dbbackend.NewProcessList(db, time.Hour)
		defer p.Close()
		known := map[string]chan bool{"seen": make(chan bool, 1), "never": make(chan bool, 1)}
		for run, ended := range known {
			p.Watch(run, dbbackend.Way{InTransit: time.Hour, Lossy: true}, func(_ time.Time, known bool) { ended <- known })
		}
		time.Sleep(30 * time.Minute)
		f.set()
		if !<-known["seen"] || <-known["never"] {
			t.Error("want the end of the query that was seen, and none of the one that was not")
		}
	})
}
