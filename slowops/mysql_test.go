package slowops_test

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	dbbackend "gotimeout/internal/backends/db"
	"gotimeout/slowops"

	proto "github.com/go-mysql-org/go-mysql/mysql"
	"github.com/go-mysql-org/go-mysql/server"
	"github.com/go-sql-driver/mysql"
)

// fakeDB gives every query the same answer, and keeps the query.
type fakeDB struct {
	server.EmptyHandler
	answer  int
	mu      sync.Mutex
	queries []string
}

func startFakeDB(t *testing.T, answer int) (*fakeDB, *slowops.MySQL) {
	t.Helper()
	db := &fakeDB{answer: answer}
	return db, newMySQL(t, labDSN(serveDB(t, db))+"?maxAllowedPacket=1000", 0)
}

// serveDB accepts the user lab without a password.
func serveDB(t *testing.T, db server.Handler) (addr string) {
	t.Helper()
	protocol := server.NewServer("8.0.11", proto.DEFAULT_COLLATION_ID, proto.AUTH_NATIVE_PASSWORD, nil, nil)
	return serveProtocol(t, db, protocol, proto.AUTH_NATIVE_PASSWORD, "")
}

// serveProtocol accepts the user lab with the password; kind names the authentication plugin.
func serveProtocol(t *testing.T, db server.Handler, protocol *server.Server, kind, password string) (addr string) {
	t.Helper()
	users := server.NewInMemoryAuthenticationHandler(kind)
	if err := users.AddUser("lab", password); err != nil {
		t.Fatal(err)
	}
	return serve(t, func(nc net.Conn) {
		c, err := protocol.NewCustomizedConn(nc, users, db)
		for err == nil {
			err = c.HandleCommand()
		}
	})
}

func (db *fakeDB) UseDB(string) error { return nil }

func (db *fakeDB) HandleQuery(query string) (*proto.Result, error) {
	db.mu.Lock()
	db.queries = append(db.queries, query)
	db.mu.Unlock()
	return single(db.answer)
}

// single is a result of one value.
func single(value int) (*proto.Result, error) {
	table, err := proto.BuildSimpleTextResultset([]string{"x"}, [][]any{{value}})
	return proto.NewResult(table), err
}

func TestMySQLStatements(t *testing.T) {
	fake, db := startFakeDB(t, 1)
	if err := db.Do(t.Context(), slowops.Call{Run: "a1"}); err != nil {
		t.Error(err)
	}
	for _, work := range []string{"", slowops.WorkSleep} {
		err := db.Do(t.Context(), slowops.Call{Run: "b-2", Work: work, Delay: 300 * time.Millisecond})
		if !errors.Is(err, slowops.ErrCutShort) {
			t.Errorf("SLEEP answered 1: %v", err)
		}
	}
	err := db.Do(t.Context(), slowops.Call{Work: slowops.WorkCPU, Delay: time.Second})
	if err == nil || !strings.Contains(err.Error(), "Calibrate") {
		t.Errorf("without Calibrate: %v", err)
	}
	const sleep = "SELECT /* gotimeout run=b-2 */ SLEEP(0.3)"
	want := fmt.Sprint([]string{"SELECT /* gotimeout run=a1 */ 1", sleep, sleep})
	if got := fmt.Sprint(fake.queries); got != want {
		t.Errorf("asked %s\nwant  %s", got, want)
	}
}

func TestMySQLWrongAnswer(t *testing.T) {
	_, db := startFakeDB(t, 5)
	err := db.Do(t.Context(), slowops.Call{})
	if code(err) != "wrong_answer" || !strings.Contains(err.Error(), "SELECT 1 answered 5") {
		t.Errorf("%s: %v", code(err), err)
	}
}

func TestMySQLOverTheCap(t *testing.T) {
	db := newMySQL(t, labDSN(backend(t, dbbackend.Start, new(runs))), 0)
	seen := new(hooks)
	err := db.Do(t.Context(), seen.on(slowops.Call{Delay: long + time.Second}))
	var server *mysql.MySQLError
	if !errors.As(err, &server) || server.Number != proto.ER_WRONG_ARGUMENTS {
		t.Errorf("got %v", err)
	}
	seen.want(t, 1, 0, 0) // an error of the server doesn't close the connection
}

func TestMySQLKillQuery(t *testing.T) {
	began := new(runs)
	for place, dsn := range map[string]func() string{
		"embedded": func() string { return labDSN(backend(t, dbbackend.Start, began)) },
		"real":     func() string { return "" },
	} {
		t.Run(place, func(t *testing.T) {
			dsn := dsn()
			if dsn == "" {
				dsn = realServer(t, "MYSQL_DSN")
			}
			op := newMySQL(t, dsn, 0)
			seen, result := new(hooks), make(chan error, 1)
			c := seen.on(slowops.Call{Run: "killed-" + place, Delay: 20 * time.Second})
			go func() { result <- op.Do(t.Context(), c) }()
			db, err := newMySQL(t, dsn, 0).DB() // a pool of its own, so that the call dials
			if err != nil {
				t.Fatal(err)
			}
			eventually(t, "in the process list", func() bool { return process(t, db, c.Run) != "" })
			if _, err := db.ExecContext(t.Context(), "KILL QUERY "+process(t, db, c.Run)); err != nil {
				t.Fatal(err)
			}
			var server *mysql.MySQLError
			if err := <-result; !errors.Is(err, slowops.ErrCutShort) && !errors.As(err, &server) {
				t.Errorf("got %v", err)
			}
			seen.want(t, 1, 0, 0)
		})
	}
}

// process returns the id of the connection whose query carries the run's tag.
func process(t *testing.T, db *sql.DB, run string) (id string) {
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
	values := make([]sql.NullString, len(columns))
	into := make([]any, len(columns))
	for i := range values {
		into[i] = &values[i]
	}
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(values[7].String, "/* gotimeout run="+run+" */") {
			id = values[0].String
		}
	}
	return id
}

// The certificate must be the server's, not that of the address that is dialed.
func TestMySQLViaTLS(t *testing.T) {
	cert, pool := certificate(t)
	secure := &tls.Config{Certificates: []tls.Certificate{cert}}
	const kind = proto.AUTH_NATIVE_PASSWORD
	addr := serveProtocol(t, &fakeDB{answer: 1}, server.NewServer("8.0.11", proto.DEFAULT_COLLATION_ID, kind, nil, secure), kind, "")
	for host, want := range map[string]string{elsewhere: "", "other.invalid": "not other.invalid"} {
		cfg, _, err := slowops.ParseDSN("lab@tcp(" + host + ":3306)/lab?tls=true")
		if err != nil {
			t.Fatal(err)
		}
		cfg.TLS.RootCAs = pool
		op := slowops.NewMySQL(cfg, 0)
		defer op.Close()
		op.Via = addr
		err = op.Do(t.Context(), slowops.Call{})
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v; want %q", host, err, want)
		}
	}
}

// The driver sends a password in clear text over a Unix socket, and must not over TCP.
func TestMySQLViaHidesThePassword(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	const kind = proto.AUTH_CACHING_SHA2_PASSWORD
	addr := serveProtocol(t, &fakeDB{answer: 1}, server.NewServer("8.0.11", proto.DEFAULT_COLLATION_ID, kind, key, nil), kind, secret)
	said := make(chan string, 1)
	op := newMySQL(t, "lab:"+secret+"@unix(/run/x.sock)/lab", 0)
	op.Via = serve(t, func(c net.Conn) {
		heard := &tap{Conn: c}
		pass(heard, addr)
		said <- heard.said.String()
	})
	if err := op.Do(t.Context(), slowops.Call{IOTimeout: patience}); err != nil {
		t.Error(err)
	}
	op.Close()
	if text := <-said; !strings.Contains(text, "SELECT") || strings.Contains(text, secret) {
		t.Errorf("the client sent %q", text)
	}
}

// tap keeps a copy of the bytes that it reads.
type tap struct {
	net.Conn
	said strings.Builder
}

func (c *tap) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.said.Write(b[:n])
	return n, err
}

func TestCalibratedWork(t *testing.T) {
	t.Run("embedded", func(t *testing.T) { calibratedWork(t, labDSN(backend(t, dbbackend.Start, new(runs)))) })
	t.Run("real", func(t *testing.T) { calibratedWork(t, realServer(t, "MYSQL_DSN")) })
}

// calibratedWork fails unless the work takes about as long as asked for. A busy machine may
// slow down the calibration and not the work, or the reverse, so the test tries again.
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
	db := newMySQL(t, labDSN(serve(t, func(c net.Conn) { _, _ = io.Copy(io.Discard, c) })), 0)
	ctx, cancel := context.WithTimeout(t.Context(), short)
	defer cancel()
	if err := db.Calibrate(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

// The driver closes its connection and sends no KILL, so the server's work goes on
// for nobody: https://github.com/go-sql-driver/mysql/issues/731
func TestCancelledBenchmarkGoesOn(t *testing.T) {
	op := newMySQL(t, realServer(t, "MYSQL_DSN"), 0)
	calibrate(t, op)
	ctx, cancel := context.WithTimeout(t.Context(), 10*short)
	defer cancel()
	c := slowops.Call{Run: "goes-on", Work: slowops.WorkCPU, Delay: 5 * time.Second}
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

// go-sql-driver stops watching the context before it has read the whole result. An
// aware call must still end with its context, and its connection must not be reused.
func TestMySQLEndOfResultIsHeldBack(t *testing.T) {
	t.Parallel()
	everyMySQL(t, func(t *testing.T, dsn string) {
		cfg, _, err := slowops.ParseDSN(dsn)
		if err != nil {
			t.Fatal(err)
		}
		cfg.Addr = withoutEnd(t, cfg.Addr)
		op := newMySQL(t, cfg.FormatDSN(), 1)
		ctx, cancel := context.WithTimeout(t.Context(), 10*short) // it has dialed by then
		defer cancel()
		var seen hooks
		took, err := timed(ctx, op.Do, seen.on(slowops.Call{Run: "held-back"}))
		if !errors.Is(err, context.DeadlineExceeded) || took > patience/2 {
			t.Errorf("%v after %s", err, took)
		}
		eventually(t, "Closed", func() bool { return seen.closed.Load() == 1 })
		seen.want(t, 1, 0, 1)
		if err := op.Do(t.Context(), slowops.Call{Run: "whole"}); err != nil {
			t.Errorf("the call after it: %v", err)
		}
	})
}

// withoutEnd relays to a MySQL server, and holds back the last packet of the result
// of the run "held-back".
func withoutEnd(t *testing.T, addr string) string {
	const endPacket = 9
	return serve(t, func(client net.Conn) {
		server, err := net.Dial("tcp", addr)
		if err != nil {
			return
		}
		defer server.Close()
		var hold atomic.Bool
		go func() {
			defer server.Close()
			for b := make([]byte, 64<<10); ; {
				n, err := client.Read(b)
				hold.Store(strings.Contains(string(b[:n]), "run=held-back"))
				if _, failed := server.Write(b[:n]); err != nil || failed != nil {
					return
				}
			}
		}()
		var held []byte // of a result that may come in several parts
		for b := make([]byte, 64<<10); ; {
			n, err := server.Read(b)
			held = append(held, b[:n]...)
			ready := len(held)
			if hold.Load() {
				ready = max(0, ready-endPacket)
			}
			if _, failed := client.Write(held[:ready]); err != nil || failed != nil {
				return
			}
			held = held[ready:]
		}
	})
}

// everyMySQL runs a test on the embedded database and on the real one.
func everyMySQL(t *testing.T, test func(t *testing.T, dsn string)) {
	t.Run("embedded", func(t *testing.T) { test(t, labDSN(backend(t, dbbackend.Start, new(runs)))) })
	t.Run("real", func(t *testing.T) { test(t, realServer(t, "MYSQL_DSN")) })
}

// MariaDB answers a BENCHMARK that it has cut short like any other BENCHMARK.
func TestMySQLBenchmarkIsCutShort(t *testing.T) {
	dsn := realServer(t, "MYSQL_DSN")
	whole := newMySQL(t, dsn, 0)
	calibrate(t, whole)
	cfg, _, err := slowops.ParseDSN(dsn)
	if err != nil {
		t.Fatal(err)
	}
	cfg.Params = map[string]string{"max_statement_time": "1"}
	op := newMySQL(t, cfg.FormatDSN(), 0)
	calibrate(t, op)
	call := slowops.Call{Run: "cut-short", Delay: 10 * time.Second, Work: slowops.WorkCPU}
	for range 2 { // the second call must be cut short like the first
		took, err := timed(t.Context(), op.Do, call)
		if !errors.Is(err, slowops.ErrCutShort) || took > call.Delay*9/10 {
			t.Errorf("%v after %s, want ErrCutShort", err, took)
		}
	}
	call.Delay = short
	if took, err := timed(t.Context(), op.Do, call); err != nil || took > patience {
		t.Errorf("a call within the limit: %v after %s", err, took)
	}
}

// The server ends a statement at the limit of its call, and the connection is kept. A call
// without a limit, or within it, is not cut, and the calls don't share a limit.
func TestMySQLServerLimit(t *testing.T) {
	t.Parallel()
	everyMySQL(t, func(t *testing.T, dsn string) {
		op := newMySQL(t, dsn, 0)
		calibrate(t, op)
		own := newMySQL(t, dsn, 0)
		own.Statement = "SELECT SLEEP(0.2) UNION SELECT SLEEP(20)"
		if strings.HasPrefix(dsn, "lab@") { // the embedded database knows no UNION, and its SLEEP returns 1
			own.Statement = "SELECT BENCHMARK(1000000000000, 1)"
		}
		for name, of := range map[string]struct {
			op   *slowops.MySQL
			work string
		}{"sleep": {op, slowops.WorkSleep}, "cpu": {op, slowops.WorkCPU}, "own": {own, ""}} {
			t.Run(name, func(t *testing.T) {
				var seen hooks
				c := seen.on(slowops.Call{Run: "limited-" + name, Delay: 20 * time.Second, Work: of.work, Deaf: true, ServerLimit: 300 * time.Millisecond})
				for range 2 {
					took, err := timed(t.Context(), of.op.Do, c)
					var failure *slowops.Failure
					if !errors.As(err, &failure) || failure.Code() != "server_limit" || !failure.Timeout() || took < c.ServerLimit || took > patience {
						t.Errorf("%v after %s", err, took)
					}
				}
				if seen.dialed.Load() > 1 || seen.closed.Load() > 0 {
					t.Errorf("%d dialed, %d closed", seen.dialed.Load(), seen.closed.Load())
				}
			})
		}
		for _, limit := range []time.Duration{0, time.Nanosecond, patience} { // the shortest limit is not none
			err := op.Do(t.Context(), slowops.Call{Delay: 400 * time.Millisecond, ServerLimit: limit})
			if cut := limit == time.Nanosecond; (err != nil) != cut {
				t.Errorf("limit %s: %v", limit, err)
			}
		}
	})
}

// The server ends the query of an aware or a deaf call. The connection is kept, and no later
// query of it is ended.
func TestMySQLKillAfter(t *testing.T) {
	t.Parallel()
	everyMySQL(t, func(t *testing.T, dsn string) {
		op := newMySQL(t, dsn, 1)
		calibrate(t, op)
		own := newMySQL(t, dsn, 1)
		own.Statement = "SELECT BENCHMARK(1000000000000, MD5('own'))"
		for name, of := range map[string]struct {
			op   *slowops.MySQL
			work string
			deaf bool
		}{
			"sleep": {op, slowops.WorkSleep, false}, "cpu": {op, slowops.WorkCPU, false}, "own": {own, "", false},
			"deaf sleep": {op, slowops.WorkSleep, true}, "deaf cpu": {op, slowops.WorkCPU, true}, "deaf own": {own, "", true},
		} {
			t.Run(name, func(t *testing.T) {
				var seen hooks
				run := "kill-" + strings.ReplaceAll(name, " ", "-")
				c := seen.on(slowops.Call{Run: run, Delay: 20 * time.Second, Work: of.work, Deaf: of.deaf, KillAfter: 300 * time.Millisecond})
				slow := 0 // kills that took longer than they may, on a busy machine: they close the connection
				for range 3 {
					began := time.Now() // the context's time begins before that of a call
					ctx, cancel := context.WithTimeout(t.Context(), c.KillAfter)
					err := of.op.Do(ctx, c)
					took := time.Since(began)
					cancel()
					var failure *slowops.Failure
					if !errors.As(err, &failure) && took > time.Second {
						slow++
						continue
					}
					if failure == nil || failure.Code() != "query_killed" || !failure.Timeout() || took < c.KillAfter || took > patience {
						t.Errorf("%v after %s", err, took)
					}
					if errors.Is(err, context.DeadlineExceeded) == of.deaf {
						t.Errorf("deaf %t: %v", of.deaf, err)
					}
					if err := op.Do(t.Context(), slowops.Call{Delay: time.Millisecond}); err != nil {
						t.Errorf("the next call: %v", err)
					}
				}
				if closed := int(seen.closed.Load()); slow == 3 || slow == 0 && closed > 0 {
					t.Errorf("%d kills took too long, and %d connections were closed", slow, closed)
				}
			})
		}
		if err := op.Do(t.Context(), slowops.Call{Delay: time.Millisecond}); err != nil { // dials, where a slow kill has closed the connection
			t.Error(err)
		}
		var seen hooks
		for range 3 { // a call that ends before has no second connection
			if err := op.Do(t.Context(), seen.on(slowops.Call{Delay: time.Millisecond, KillAfter: patience})); err != nil {
				t.Error(err)
			}
		}
		seen.want(t, 0, 3, 0)
	})
}

// A query that ends as it is killed ends no other query: the connection is with its call until
// the KILL has its answer. Each of the next calls on it runs to its end.
func TestMySQLKillInVain(t *testing.T) {
	t.Parallel()
	everyMySQL(t, func(t *testing.T, dsn string) {
		op := newMySQL(t, dsn, 1)
		for i := range 100 {
			delay := 10 * time.Millisecond
			err := op.Do(t.Context(), slowops.Call{Run: fmt.Sprint("vain-", i), Delay: delay, KillAfter: delay - 2*time.Millisecond + time.Duration(i)*50*time.Microsecond})
			var failure *slowops.Failure
			late := err != nil && strings.Contains(err.Error(), "KILL QUERY failed") // on a busy machine: the connection is closed
			if err != nil && !late && (!errors.As(err, &failure) || failure.Code() != "query_killed") {
				t.Fatal(err)
			}
			if err := op.Do(t.Context(), slowops.Call{Run: "next", Delay: time.Millisecond}); err != nil {
				t.Fatalf("the call after kill %d: %v", i, err)
			}
		}
	})
}

// lateDB answers a query that it has killed as if the query had run to its end, and ends the
// next one instead.
type lateDB struct {
	fakeDB
	killed chan struct{}
	late   atomic.Bool
}

func (db *lateDB) HandleQuery(query string) (*proto.Result, error) {
	switch {
	case strings.HasPrefix(query, "KILL"):
		db.late.Store(true)
		close(db.killed)
		return nil, nil
	case strings.Contains(query, "SLEEP("):
		<-db.killed
		return single(0)
	case !strings.Contains(query, "COUNT") && db.late.Swap(false):
		return nil, proto.NewDefaultError(proto.ER_QUERY_INTERRUPTED)
	}
	return single(1)
}

func TestMySQLKillComesLate(t *testing.T) {
	db := &lateDB{killed: make(chan struct{})}
	op := newMySQL(t, labDSN(serveDB(t, db)), 1)
	var seen hooks
	err := op.Do(t.Context(), seen.on(slowops.Call{Delay: long, KillAfter: short}))
	if !errors.Is(err, slowops.ErrCutShort) {
		t.Errorf("the killed call: %v", err)
	}
	if err := op.Do(t.Context(), seen.on(slowops.Call{})); err != nil {
		t.Errorf("the next call of the connection: %v", err)
	}
	seen.want(t, 2, 1, 0)
}

// Where the KILL can't be sent, or the server that gets it is another one, the connection is
// closed in a bounded time, and no other query is ended.
func TestMySQLKillFails(t *testing.T) {
	t.Parallel()
	first, other := backend(t, dbbackend.Start, new(runs)), &fakeDB{}
	for name, second := range map[string]string{"another server": serveDB(t, other), "no server": ""} {
		t.Run(name, func(t *testing.T) {
			var dials atomic.Int32
			balancer := serve(t, func(c net.Conn) {
				to := first
				if dials.Add(1) > 1 {
					to = second
				}
				if to != "" {
					pass(c, to)
				}
			})
			var seen hooks
			c := seen.on(slowops.Call{Run: "kill-fails", Delay: 20 * time.Second, Deaf: true, KillAfter: short})
			took, err := timed(t.Context(), newMySQL(t, labDSN(balancer), 0).Do, c)
			var failure *slowops.Failure
			if err == nil || errors.As(err, &failure) && failure.Code() == "query_killed" || !strings.Contains(err.Error(), "KILL QUERY failed") || took > patience {
				t.Errorf("%v after %s", err, took)
			}
			eventually(t, "the connection is closed", func() bool { return seen.closed.Load() >= 1 })
		})
	}
	other.mu.Lock()
	defer other.mu.Unlock()
	if asked := strings.Join(other.queries, "\n"); !strings.Contains(asked, "processlist WHERE ID") || strings.Contains(asked, "KILL") {
		t.Errorf("another server was asked: %s", asked)
	}
}

// How long after its time a kill has ended a query that computes, on the real server, which
// MYSQL_DSN names: go test ./slowops -bench MySQLKill -benchtime 200x
func BenchmarkMySQLKill(b *testing.B) {
	cfg, _, err := slowops.ParseDSN(cmp.Or(os.Getenv("MYSQL_DSN"), "-"))
	if err != nil {
		b.Skip("MYSQL_DSN names no server: ", err)
	}
	op := slowops.NewMySQL(cfg, 0)
	defer op.Close()
	if err := op.Calibrate(b.Context()); err != nil {
		b.Fatal(err)
	}
	var late []float64
	for i := 0; b.Loop(); i++ {
		c := slowops.Call{Run: fmt.Sprint("bench-", i), Delay: 2 * time.Second, Work: slowops.WorkCPU, KillAfter: short}
		took, err := timed(b.Context(), op.Do, c)
		var failure *slowops.Failure
		if !errors.As(err, &failure) || failure.Code() != "query_killed" {
			b.Fatal(err)
		}
		late = append(late, float64(took-c.KillAfter)/float64(time.Millisecond))
	}
	slices.Sort(late)
	b.ReportMetric(late[len(late)/2], "late-p50-ms")
	b.ReportMetric(late[len(late)*99/100], "late-p99-ms")
}
