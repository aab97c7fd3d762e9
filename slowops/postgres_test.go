package slowops_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"

	"gotimeout/internal/backends/backendtest"
	postgresbackend "gotimeout/internal/backends/postgres"
	"gotimeout/slowops"

	"github.com/jackc/pgx/v5/pgconn"
)

// labURL returns the URL of an embedded PostgreSQL.
func labURL(addr string) string { return "postgres://lab@" + addr + "/lab?sslmode=disable" }

func newPostgres(t *testing.T, url string, maxConns int) *slowops.Postgres {
	t.Helper()
	cfg, err := slowops.ParsePostgres(url)
	if err != nil {
		t.Fatal(err)
	}
	op := slowops.NewPostgres(cfg, maxConns)
	t.Cleanup(op.Close)
	return op
}

func postgresSubject(do doFunc, at *relay, began *runs) subject {
	return subject{do: do, relay: at, began: began, work: slowops.WorkSleep, cancels: true, unbound: true, looks: true}
}

// realPostgres is the op on the real server, by a relay.
func realPostgres(t *testing.T) subject {
	t.Helper()
	u, err := url.Parse(realServer(t, "POSTGRES_URL"))
	if err != nil {
		t.Fatal(err)
	}
	at := startRelay(t, u.Host)
	u.Host = at.addr
	return postgresSubject(newPostgres(t, u.String(), 0).Do, at, nil)
}

// cutAtWork makes a call, cancels it when the server works on it, and returns its error.
func cutAtWork(t *testing.T, op *slowops.Postgres, c slowops.Call) error {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	result := make(chan error, 1)
	go func() { result <- op.Do(ctx, c) }()
	eventually(t, "the server works", func() bool { return works(t, op, c.Run) })
	cancel()
	return <-result
}

// works reports whether the server shows a run's query.
func works(t *testing.T, op *slowops.Postgres, run string) bool {
	t.Helper()
	pool, err := op.Pool("looks")
	if err != nil {
		t.Fatal(err)
	}
	sessions, err := postgresbackend.Look(pool)(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	_, is := sessions.Of[run]
	return is
}

// What pgx does with a query whose context has ended is the parameter cancel. The query ends
// early with each of its values, because each sends a cancel request. With a grace the
// server's error comes, and the connection is kept.
func TestPostgresCancels(t *testing.T) {
	for place, server := range map[string]func(t *testing.T) string{
		"embedded": func(t *testing.T) string { return labURL(backend(t, postgresbackend.Start, new(runs))) },
		"real":     func(t *testing.T) string { return realServer(t, "POSTGRES_URL") },
	} {
		for _, cancel := range slowops.Cancels() {
			for _, work := range []string{slowops.WorkSleep, slowops.WorkCPU} {
				t.Run(place+" "+cancel+" "+work, func(t *testing.T) {
					t.Parallel()
					checkCancel(t, newPostgres(t, server(t), 0), cancel, work)
				})
			}
		}
	}
}

func checkCancel(t *testing.T, op *slowops.Postgres, cancel, work string) {
	params := map[string]string{"cancel": cancel}
	if err := op.Do(t.Context(), slowops.Call{Params: params}); err != nil { // puts a connection into the pool
		t.Fatal(err)
	}
	cut, seen := new(hooks), new(phases)
	run := "cut-" + cancel + "-" + work
	err := cutAtWork(t, op, seen.on(cut.on(slowops.Call{Run: run, Delay: long, Work: work, Params: params})))
	var answer *pgconn.PgError
	kept := cancel == slowops.CancelGrace
	if !errors.Is(err, context.Canceled) || errors.As(err, &answer) != kept || kept && answer.Code != "57014" {
		t.Errorf("got %v", err)
	}
	eventually(t, "the query has ended", func() bool { return !works(t, op, run) })
	// pgx closes the connection of the cancel request, and the query's unless the connection is kept.
	closes := int32(2)
	if kept {
		closes = 1
	}
	eventually(t, "the connections are closed", func() bool { return cut.closed.Load() == closes })
	if !strings.HasPrefix(seen.String(), "postgres query, postgres result") || !strings.Contains(seen.String(), "postgres cancel request") {
		t.Errorf("phases %s", seen)
	}
	next := new(hooks)
	if err := op.Do(t.Context(), next.on(slowops.Call{Run: "next", Params: params})); err != nil {
		t.Error(err)
	}
	if reused := next.reused.Load() == 1; reused != kept {
		t.Errorf("the connection was kept: %t, want %t", reused, kept)
	}
}

// A pool of four serves again after four calls that were cut.
func TestPostgresPoolOfFour(t *testing.T) {
	for _, cancel := range slowops.Cancels() {
		t.Run(cancel, func(t *testing.T) {
			t.Parallel()
			op := newPostgres(t, labURL(backend(t, postgresbackend.Start, new(runs))), 4)
			params := map[string]string{"cancel": cancel}
			errs := make(chan error)
			for range 8 {
				go func() {
					ctx, cancel := context.WithTimeout(t.Context(), 3*short)
					defer cancel()
					errs <- op.Do(ctx, slowops.Call{Run: "cut", Delay: long, Params: params})
				}()
			}
			for range 8 {
				if err := <-errs; !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("a call that waits for ever: %v", err)
				}
			}
			for range 8 {
				go func() { errs <- op.Do(t.Context(), slowops.Call{Run: "next", Params: params}) }()
			}
			for range 8 {
				if err := <-errs; err != nil {
					t.Error(err)
				}
			}
		})
	}
}

// The pool dials on when the acquire has ended, and the call reports that. The connection serves
// the next call.
func TestPostgresPoolDialsOn(t *testing.T) {
	release := make(chan struct{})
	target := backend(t, postgresbackend.Start, new(runs))
	addr := serve(t, func(c net.Conn) {
		<-release
		up, err := net.Dial("tcp", target)
		if err != nil {
			return
		}
		defer up.Close()
		go func() { _, _ = io.Copy(up, c); up.Close() }()
		_, _ = io.Copy(c, up)
	})
	op := newPostgres(t, labURL(addr), 0)
	seen, outlived := new(hooks), new(phases)
	ctx, cancel := context.WithTimeout(t.Context(), 5*short) // not a second, when the pool closes what is as old as this dial
	defer cancel()
	err := op.Do(ctx, outlived.on(seen.on(slowops.Call{Run: "gone"})))
	if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, slowops.ErrNotSent) || len(outlived.outlived) != 1 || !strings.Contains(outlived.outlived[0], "connect_timeout") {
		t.Errorf("%v, outlived %q", err, outlived.outlived)
	}
	close(release)
	eventually(t, "the login ends", func() bool { return !strings.Contains(outlived.String(), "…") })
	outlived.want(t, "postgres dial, postgres login")
	seen.want(t, 1, 0, 0)
}

// A connect_timeout bounds the login, and no query.
func TestPostgresConnectTimeout(t *testing.T) {
	addr := serve(t, func(c net.Conn) { _, _ = io.Copy(io.Discard, c) })
	silent := newPostgres(t, labURL(addr), 0)
	took, err := timed(t.Context(), silent.Do, slowops.Call{ConnectTimeout: short, IOTimeout: patience})
	if code(err) != "connect_timeout" || !errors.Is(err, slowops.ErrNotSent) || took < short {
		t.Errorf("%s after %s: %v", code(err), took, err)
	}
	op := newPostgres(t, labURL(backend(t, postgresbackend.Start, new(runs))), 0)
	if err := op.Do(t.Context(), slowops.Call{Delay: 5 * short, IOTimeout: 4 * short}); err != nil && code(err) != "connect_timeout" {
		t.Error(err)
	}
}

func TestPostgresOwnStatement(t *testing.T) {
	op := newPostgres(t, realServer(t, "POSTGRES_URL"), 0)
	op.Statement = "SELECT generate_series(1, 100000); SELECT 1 -- and no more"
	if err := op.Do(t.Context(), slowops.Call{Run: "own"}); err != nil {
		t.Error(err)
	}
	const table = "gotimeout_own"
	writes := newPostgres(t, realServer(t, "POSTGRES_URL"), 0)
	writes.Statement, writes.Write = "CREATE TABLE "+table+" (secret int); DROP TABLE "+table, true
	if err := writes.Do(t.Context(), slowops.Call{}); err != nil {
		t.Error(err)
	}
	reads := newPostgres(t, realServer(t, "POSTGRES_URL"), 0)
	reads.Statement = writes.Statement
	err := reads.Do(t.Context(), slowops.Call{})
	if want := "postgres query: error 25006 of the server, whose text is left out as it quotes the statement"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	seen := new(hooks)
	if err := reads.Do(t.Context(), seen.on(slowops.Call{})); err == nil {
		t.Error("no error the second time")
	}
	seen.want(t, 0, 1, 0) // an error of the server costs no connection
}

func TestParsePostgres(t *testing.T) {
	for _, text := range []string{
		"postgres://u:p@h:1/d", "postgresql://h/d?sslmode=require", "host=/run/postgresql dbname=d", "postgres:///d?host=/tmp", "postgres://u:p%2F@h/d",
	} {
		if _, err := slowops.ParsePostgres(text); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
	for text, want := range map[string]string{
		"mysql://u:hush@h/d":               "a URL with scheme",
		"postgres://u:hu/sh@h/d":           "unreadable URL",
		"postgres://u:hu%zzsh@h/d":         "unreadable URL",
		"postgres://u:hush@h:port/d":       "unreadable URL",
		"postgres://u:hush@h,g/d":          "several hosts",
		"postgres://u:hush@h/d?sslmode=no": "unreadable by pgx",
		"hush":                             "unreadable by pgx",
		"host=h password='hush":            "unreadable by pgx",
	} {
		_, err := slowops.ParsePostgres(text)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hu") {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
}

// The statement says what the server would do to a query of that tag, before anything of its own.
func TestPostgresTraceparent(t *testing.T) {
	r := backendtest.NewRuns()
	s := backendtest.Start(t, postgresbackend.Start, r.Options())
	op := newPostgres(t, labURL(s.Addr), 0)
	done := make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		done <- op.Do(ctx, slowops.Call{Run: "traced", Traceparent: "00-1-2-01", Delay: time.Minute})
	}()
	backendtest.Eventually(t, "began", r.HasBegun("traced"))
	if jobs := s.Working(); len(jobs) != 1 || jobs[0].Work != "/* gotimeout run=traced */ /*traceparent='00-1-2-01'*/ SELECT pg_sleep(60)" {
		t.Errorf("the jobs are %v", jobs)
	}
	cancel()
	<-done
	backendtest.Eventually(t, "ended", r.HasEnded("traced"))
}
