package postgresbackend_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"strconv"
	"testing"
	"time"

	"gotimeout/internal/backends"
	"gotimeout/internal/backends/backendtest"
	postgresbackend "gotimeout/internal/backends/postgres"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"
	"github.com/jackc/pgx/v5/pgxpool"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func urlOf(s *backends.Server) string { return "postgres://lab@" + s.Addr + "/lab?sslmode=disable" }

func connect(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	c, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close(context.Background()) })
	return c
}

// servers returns the URLs of the stand-in and, where there is one, of the real server.
func servers(t *testing.T) map[string]func(*testing.T) string {
	return map[string]func(*testing.T) string{
		"embedded": func(t *testing.T) string {
			return urlOf(backendtest.Start(t, postgresbackend.Start, backends.Options{MaxDelay: backendtest.Long}))
		},
		"real": func(t *testing.T) string { return backendtest.RealServer(t, "POSTGRES_URL") },
	}
}

// everywhere runs a test on the stand-in and on a real PostgreSQL, so that the stand-in answers as
// PostgreSQL does.
func everywhere(t *testing.T, test func(t *testing.T, url string)) {
	for name, url := range servers(t) {
		t.Run(name, func(t *testing.T) { test(t, url(t)) })
	}
}

func code(err error) string {
	var e *pgconn.PgError
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}

const loop = "DO $$ DECLARE over timestamptz := clock_timestamp() + interval '60 s'; BEGIN WHILE clock_timestamp() < over LOOP END LOOP; END $$"

// Each mode of pgx gets the same answers: the simple protocol, and the extended one with and without
// prepared statements, whose results are binary.
func TestModes(t *testing.T) {
	everywhere(t, func(t *testing.T, url string) {
		c := connect(t, url)
		for _, mode := range []pgx.QueryExecMode{
			pgx.QueryExecModeCacheStatement, pgx.QueryExecModeCacheDescribe, pgx.QueryExecModeDescribeExec, pgx.QueryExecModeExec, pgx.QueryExecModeSimpleProtocol,
		} {
			var n, pid int
			var version string
			var is bool
			for sql, into := range map[string]any{
				"SELECT 42": &n, "select -7 -- of a kind": &n, "SELECT 1 FROM pg_sleep(0.001)": &n, "SELECT pg_backend_pid();": &pid,
				"SELECT version()": &version, "SELECT pg_cancel_backend(0)": &is, "SHOW statement_timeout": &version,
			} {
				if err := c.QueryRow(t.Context(), sql, mode).Scan(into); err != nil {
					t.Errorf("%s by %s: %v", sql, mode, err)
				}
			}
			if pid != int(c.PgConn().PID()) {
				t.Errorf("pid %d, want %d", pid, c.PgConn().PID())
			}
			for _, sql := range []string{"BEGIN", "SET LOCAL statement_timeout = '1min'", "COMMIT", "SELECT pg_sleep(0)", "", "SET application_name = 'x'"} {
				if _, err := c.Exec(t.Context(), sql, mode); err != nil {
					t.Errorf("%q by %s: %v", sql, mode, err)
				}
			}
		}
		if err := c.Ping(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// A statement ends at its limit with error 57014, and the connection serves the next one.
func TestStatementTimeout(t *testing.T) {
	everywhere(t, func(t *testing.T, url string) {
		c := connect(t, url)
		for _, limited := range []string{
			"SET LOCAL statement_timeout = 50; SELECT pg_sleep(60)", "SET LOCAL statement_timeout = '50ms'; " + loop,
			"SET statement_timeout TO '50 ms'; SELECT pg_sleep(60)", "BEGIN; SET LOCAL statement_timeout = 50; SELECT pg_sleep(60); COMMIT",
		} {
			if _, err := c.Exec(t.Context(), limited, pgx.QueryExecModeSimpleProtocol); code(err) != "57014" {
				t.Errorf("%s: %v", limited, err)
			}
			if _, err := c.Exec(t.Context(), "ROLLBACK"); err != nil {
				t.Error(err)
			}
			if _, err := c.Exec(t.Context(), "SET statement_timeout = 0"); err != nil {
				t.Error(err)
			}
			if _, err := c.Exec(t.Context(), "SELECT pg_sleep(0.2)"); err != nil {
				t.Errorf("after %s: %v", limited, err)
			}
		}
		for _, option := range []string{"&statement_timeout=50", "&options=-c%20statement_timeout%3D50"} {
			if _, err := connect(t, url+option).Exec(t.Context(), "SELECT pg_sleep(60)"); code(err) != "57014" {
				t.Errorf("%s: %v", option, err)
			}
		}
		if _, err := c.Exec(t.Context(), "SET statement_timeout = 'soon'"); code(err) != "22023" {
			t.Errorf("got %v", err)
		}
	})
}

// After an error a transaction takes nothing but its end.
func TestFailedTransaction(t *testing.T) {
	everywhere(t, func(t *testing.T, url string) {
		c := connect(t, url)
		tx, err := c.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tx.Exec(t.Context(), "SELECT nonsense FROM nowhere"); code(err) == "" {
			t.Errorf("got %v", err)
		}
		if _, err := tx.Exec(t.Context(), "SELECT 1"); code(err) != "25P02" {
			t.Errorf("got %v", err)
		}
		if err := tx.Rollback(t.Context()); err != nil {
			t.Error(err)
		}
		if _, err := c.Exec(t.Context(), "SELECT 1"); err != nil {
			t.Error(err)
		}
	})
}

// A cancel request ends the query of the session whose key it has, and no other.
func TestCancelRequest(t *testing.T) {
	everywhere(t, func(t *testing.T, url string) {
		pool, err := pgxpool.New(t.Context(), url)
		if err != nil {
			t.Fatal(err)
		}
		defer pool.Close()
		look := postgresbackend.Look(pool)
		shown := func() bool {
			sessions, err := look(t.Context())
			return err == nil && sessions.Of["cancelled"] != 0
		}
		for _, work := range []string{"SELECT pg_sleep(60)", loop} {
			c := connect(t, url)
			done := make(chan error, 1)
			go func() {
				_, err := c.Exec(context.WithoutCancel(t.Context()), "/* gotimeout run=cancelled */ "+work, pgx.QueryExecModeSimpleProtocol)
				done <- err
			}()
			backendtest.Eventually(t, "the query runs", shown)
			if err := c.PgConn().CancelRequest(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := <-done; code(err) != "57014" {
				t.Errorf("%s: %v", work, err)
			}
			if shown() {
				t.Errorf("%s is shown after its end", work)
			}
			if _, err := c.Exec(t.Context(), "SELECT 1"); err != nil {
				t.Error(err)
			}
		}
	})
}

// pg_cancel_backend ends a query, and pg_terminate_backend the connection.
func TestSignals(t *testing.T) {
	everywhere(t, func(t *testing.T, url string) {
		for function, want := range map[string]string{"pg_cancel_backend": "57014", "pg_terminate_backend": ""} {
			victim, other := connect(t, url), connect(t, url)
			done := make(chan error, 1)
			go func() {
				_, err := victim.Exec(context.WithoutCancel(t.Context()), "SELECT pg_sleep(60)")
				done <- err
			}()
			sql, sent := "SELECT "+function+"("+strconv.Itoa(int(victim.PgConn().PID()))+")", false
			var err error
			backendtest.Eventually(t, "the query ends", func() bool {
				if qerr := other.QueryRow(t.Context(), sql).Scan(&sent); qerr != nil {
					t.Fatal(qerr)
				}
				select {
				case err = <-done:
					return true
				default:
					return false
				}
			})
			if err == nil || want != "" && code(err) != want || victim.IsClosed() != (want == "") {
				t.Errorf("%s: %v, closed %t", function, err, victim.IsClosed())
			}
		}
	})
}

func TestRefusals(t *testing.T) {
	s := backendtest.Start(t, postgresbackend.Start, backends.Options{MaxDelay: time.Second})
	if _, err := pgx.Connect(t.Context(), "postgres://root@"+s.Addr+"/lab?sslmode=disable"); code(err) != "28000" {
		t.Errorf("another user: %v", err)
	}
	c := connect(t, urlOf(s))
	for sql, want := range map[string]string{
		"SELECT pg_sleep(2)": "22023", "CREATE TABLE x (a int)": "0A000", "SET lock_timeout = 5": "0A000", "SELECT 99999999999": "22003",
		"SELECT $1::int": "0A000",
	} {
		if _, err := c.Exec(t.Context(), sql); code(err) != want {
			t.Errorf("%s: %v, want %s", sql, err, want)
		}
	}
	// With sslmode=prefer the client asks for TLS first, and goes on without it.
	plain := connect(t, "postgres://lab@"+s.Addr+"/lab?sslmode=prefer")
	if err := plain.Ping(t.Context()); err != nil {
		t.Error(err)
	}
}

// A run begins and ends once, however it ends: by its answer, by a cancel, or by Close.
func TestRunsAreReported(t *testing.T) {
	r := backendtest.NewRuns()
	s := backendtest.Start(t, postgresbackend.Start, r.Options())
	c := connect(t, urlOf(s))
	if _, err := c.Exec(t.Context(), "/* gotimeout run=done */ SELECT 1"); err != nil {
		t.Fatal(err)
	}
	gone := connect(t, urlOf(s))
	ctx, leave := context.WithCancel(t.Context())
	left := make(chan struct{})
	go func() {
		_, _ = gone.Exec(ctx, "/* gotimeout run=left */ SELECT pg_sleep(60)", pgx.QueryExecModeSimpleProtocol)
		close(left)
	}()
	backendtest.Eventually(t, "left has begun", r.HasBegun("left"))
	leave()
	<-left
	backendtest.Eventually(t, "pgx's cancel request has ended left", r.HasEnded("left"))

	last := connect(t, urlOf(s))
	closed := make(chan struct{})
	go func() {
		_, _ = last.Exec(context.WithoutCancel(t.Context()), "/* gotimeout run=closed */ "+loop, pgx.QueryExecModeSimpleProtocol)
		close(closed)
	}()
	backendtest.Eventually(t, "closed has begun", r.HasBegun("closed"))
	if jobs := s.Working(); !slices.ContainsFunc(jobs, func(j backends.Job) bool { return j.Run == "closed" }) {
		t.Errorf("working on %v", jobs)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	<-closed
	r.Balanced(t, "done", "left", "closed")
}

// A client that is cut off without a cancel request leaves its query running, as in PostgreSQL.
func TestClientThatLeaves(t *testing.T) {
	r := backendtest.NewRuns()
	s := backendtest.Start(t, postgresbackend.Start, r.Options())
	c, err := pgx.Connect(t.Context(), urlOf(s))
	if err != nil {
		t.Fatal(err)
	}
	c.PgConn().Frontend().SendQuery(&pgproto3.Query{String: "/* gotimeout run=alone */ SELECT pg_sleep(60)"})
	if err := c.PgConn().Frontend().Flush(); err != nil {
		t.Fatal(err)
	}
	backendtest.Eventually(t, "begun", r.HasBegun("alone"))
	_ = c.PgConn().Conn().Close()
	var state string
	other := connect(t, urlOf(s))
	rows, err := other.Query(t.Context(), "SELECT pid, state, query FROM pg_stat_activity")
	if err != nil {
		t.Fatal(err)
	}
	for rows.Next() {
		var pid int
		var this, query string
		if err := rows.Scan(&pid, &this, &query); err != nil {
			t.Fatal(err)
		}
		if pid == int(c.PgConn().PID()) {
			state = this
		}
	}
	if state != "active" || rows.Err() != nil {
		t.Errorf("the state is %q, %v", state, rows.Err())
	}
}

// messages encodes what a client sends after its login.
func messages(t testing.TB, all ...pgproto3.FrontendMessage) []byte {
	t.Helper()
	var sent []byte
	for _, m := range all {
		var err error
		if sent, err = m.Encode(sent); err != nil {
			t.Fatal(err)
		}
	}
	return sent
}

// Whatever a client sends, before its login or after, the stand-in doesn't panic, all its queries end, and its answers are whole
// messages that pgx reads.
func FuzzPostgresConnection(f *testing.F) {
	s := backendtest.Start(f, func(o backends.Options) (*backends.Server, error) { return backends.Listen("postgres", o) }, backends.Options{})
	serve := postgresbackend.Serve(s, time.Millisecond)
	login := messages(f, &pgproto3.StartupMessage{ProtocolVersion: pgproto3.ProtocolVersion30, Parameters: map[string]string{"user": "lab", "options": "-c statement_timeout=50"}})
	query := func(sql string) pgproto3.FrontendMessage { return &pgproto3.Query{String: sql} }
	for _, sent := range [][]byte{
		messages(f, query("SELECT 1"), query("BEGIN; SELECT nonsense"), query("SELECT 2"), query("ROLLBACK;;")),
		messages(f, query("/* gotimeout run=7 */ SELECT pg_sleep(0.0001); SELECT 1 FROM pg_sleep(9)"), query("SELECT pid, state, query FROM pg_stat_activity")),
		messages(f, query("SET LOCAL statement_timeout = '1min'; SHOW statement_timeout"), query("SET statement_timeout TO default"), query("$$"), query("DO $$;$$;$$")),
		messages(f, query("SELECT pg_terminate_backend(1)"), query("SELECT pg_cancel_backend(99999999999)"), &pgproto3.Terminate{}),
		messages(f, &pgproto3.Parse{Name: "a", Query: "SELECT pg_backend_pid()"}, &pgproto3.Describe{ObjectType: 'S', Name: "a"}, &pgproto3.Bind{PreparedStatement: "a", ResultFormatCodes: []int16{1}},
			&pgproto3.Describe{ObjectType: 'P'}, &pgproto3.Execute{}, &pgproto3.Close{ObjectType: 'S', Name: "a"}, &pgproto3.Flush{}, &pgproto3.Sync{}),
		messages(f, &pgproto3.Bind{}, &pgproto3.Execute{}, &pgproto3.CopyDone{}, &pgproto3.Sync{}, &pgproto3.FunctionCall{}, &pgproto3.Sync{}),
		[]byte("Q\x00\x00\x00\x03"), []byte("Q\xff\xff\xff\xff"), []byte("\x00\x00\x00\x00\x00"),
	} {
		f.Add(login, sent)
	}
	f.Add(messages(f, &pgproto3.SSLRequest{}, &pgproto3.CancelRequest{ProcessID: 1, SecretKey: []byte("abcd")}), []byte{})
	f.Add(messages(f, &pgproto3.GSSEncRequest{}, &pgproto3.StartupMessage{ProtocolVersion: pgproto3.ProtocolVersion30, Parameters: map[string]string{"user": "root"}}), []byte{})
	f.Add([]byte{}, []byte{})
	f.Fuzz(func(t *testing.T, login, sent []byte) {
		c := backendtest.NewScript(slices.Concat(login, sent))
		serve(c)
		if jobs := s.Working(); len(jobs) > 0 {
			t.Errorf("works on %v", jobs)
		}
		answers := bytes.NewReader(bytes.TrimLeft(c.Answers(), "N")) // to a request for TLS
		for client := pgproto3.NewFrontend(answers, io.Discard); ; {
			if _, err := client.Receive(); err != nil {
				if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) || answers.Len() > 0 {
					t.Errorf("%v in %q", err, c.Answers())
				}
				return
			}
		}
	})
}
