package samples_test

import (
	"context"
	"database/sql"
	"errors"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"gotimeout/internal/backends"
	"gotimeout/internal/backends/backendtest"
	cachebackend "gotimeout/internal/backends/cache"
	dbbackend "gotimeout/internal/backends/db"
	grpcbackend "gotimeout/internal/backends/grpc"
	httpbackend "gotimeout/internal/backends/http"
	postgresbackend "gotimeout/internal/backends/postgres"
	redisbackend "gotimeout/internal/backends/redis"
	"gotimeout/internal/lab"
	"gotimeout/internal/prose"
	"gotimeout/internal/samples"

	"github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/durationpb"
)

func TestMain(m *testing.M) {
	beChild()
	flag.Parse()
	_ = flag.Set("test.parallel", "20") // the tests mostly wait, so more of them run at once than there are processors
	goleak.VerifyTestMain(m)
}

// times are the timeout and the length of a call's work. An answer before between came
// at the timeout, and an answer after between came at the end of the work.
type times struct{ timeout, between, work time.Duration }

var (
	waits    = times{400 * time.Millisecond, 1700 * time.Millisecond, 2 * time.Second} // for calls that run at once
	computes = times{100 * time.Millisecond, 600 * time.Millisecond, 700 * time.Millisecond}
)

// call makes a call by one sample.
type call func(ctx context.Context) error

// calls returns a call for each sample, and the backends of the calls.
func calls(t *testing.T, rounds int, of times) (map[string]call, map[string]*backends.Server) {
	options := backends.Options{MaxDelay: time.Minute}
	servers := map[string]*backends.Server{
		"http":  backendtest.Start(t, httpbackend.Start, options),
		"cache": backendtest.Start(t, cachebackend.Start, options),
		"db":    backendtest.Start(t, dbbackend.Start, options),
		"grpc":  backendtest.Start(t, grpcbackend.Start, options),

		"postgres": backendtest.Start(t, postgresbackend.Start, options),
		"redis":    backendtest.Start(t, redisbackend.Start, options),
	}
	url, addr, key := "http://"+servers["http"].Addr+"/delay/"+of.work.String(), servers["cache"].Addr, "delay/"+of.work.String()+"/x"
	cfg, err := mysql.ParseDSN("lab@tcp(" + servers["db"].Addr + ")/lab")
	if err != nil {
		t.Fatal(err)
	}
	cfg.Logger = &mysql.NopLogger{}
	connector, err := mysql.NewConnector(cfg)
	if err != nil {
		t.Fatal(err)
	}
	db := sql.OpenDB(connector)
	if err := db.Ping(); err != nil { // puts a connection into the pool
		t.Fatal(err)
	}
	pgURL := "postgres://lab@" + servers["postgres"].Addr + "/lab?sslmode=disable"
	pool, err := pgxpool.New(t.Context(), pgURL)
	if err != nil {
		t.Fatal(err)
	}
	if err := pool.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	rdb := redis.NewClient(&redis.Options{Addr: servers["redis"].Addr, ContextTimeoutEnabled: true, MaxRetries: -1})
	if err := rdb.Ping(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	pop := []any{"BLPOP", "a", of.work.Seconds()}
	t.Cleanup(func() { db.Close(); pool.Close(); rdb.Close(); http.DefaultClient.CloseIdleConnections() })
	const pgQuery = "SELECT 1 FROM pg_sleep(2)"
	const query, computation = "SELECT SLEEP(2)", "SELECT BENCHMARK(1000000000000, 1)"
	target, method, in := "passthrough:///"+servers["grpc"].Addr, "/gotimeout.Slow/Delay", durationpb.New(of.work)
	conn, err := grpc.NewClient(target, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	all := map[string]call{
		"baseline http":          func(context.Context) error { _, err := samples.BaselineHTTP(url); return err },
		"baseline cache":         func(context.Context) error { _, err := samples.BaselineCache(addr, key); return err },
		"baseline db":            func(context.Context) error { _, err := samples.BaselineDB(db, query); return err },
		"baseline cpu":           func(context.Context) error { _, err := samples.BaselineCPU(rounds); return err },
		"goroutine-abandon http": func(context.Context) error { _, err := samples.GoroutineAbandonHTTP(url, of.timeout); return err },
		"goroutine-abandon cache": func(context.Context) error {
			_, err := samples.GoroutineAbandonCache(addr, key, of.timeout)
			return err
		},
		"goroutine-abandon db":  func(context.Context) error { _, err := samples.GoroutineAbandonDB(db, query, of.timeout); return err },
		"goroutine-abandon cpu": func(context.Context) error { _, err := samples.GoroutineAbandonCPU(rounds, of.timeout); return err },
		"context-cancel http":   func(ctx context.Context) error { _, err := samples.ContextCancelHTTP(ctx, url, of.timeout); return err },
		"context-cancel cache": func(ctx context.Context) error {
			_, err := samples.ContextCancelCache(ctx, addr, key, of.timeout)
			return err
		},
		"context-cancel db": func(ctx context.Context) error {
			_, err := samples.ContextCancelDB(ctx, db, query, of.timeout)
			return err
		},
		"context-cancel cpu": func(ctx context.Context) error {
			_, err := samples.ContextCancelCPU(ctx, rounds, of.timeout)
			return err
		},
		"timer-panic http": func(ctx context.Context) error { _, err := samples.TimerPanicHTTP(ctx, url, of.timeout); return err },
		"timer-panic cache": func(ctx context.Context) error {
			_, err := samples.TimerPanicCache(ctx, addr, key, of.timeout)
			return err
		},
		"timer-panic db": func(ctx context.Context) error {
			_, err := samples.TimerPanicDB(ctx, db, query, of.timeout)
			return err
		},
		"timer-panic cpu": func(ctx context.Context) error { _, err := samples.TimerPanicCPU(ctx, rounds, of.timeout); return err },
		"errgroup http":   func(ctx context.Context) error { _, err := samples.ErrgroupHTTP(ctx, of.timeout, url); return err },
		"errgroup cache": func(ctx context.Context) error {
			_, err := samples.ErrgroupCache(ctx, addr, of.timeout, key)
			return err
		},
		"errgroup db":   func(ctx context.Context) error { _, err := samples.ErrgroupDB(ctx, db, of.timeout, query); return err },
		"errgroup cpu":  func(ctx context.Context) error { _, err := samples.ErrgroupCPU(ctx, of.timeout, rounds); return err },
		"baseline grpc": func(context.Context) error { _, err := samples.BaselineGRPC(conn, method, in); return err },
		"goroutine-abandon grpc": func(context.Context) error {
			_, err := samples.GoroutineAbandonGRPC(conn, method, in, of.timeout)
			return err
		},
		"context-cancel grpc": func(ctx context.Context) error {
			_, err := samples.ContextCancelGRPC(ctx, conn, method, in, of.timeout)
			return err
		},
		"timer-panic grpc": func(ctx context.Context) error {
			_, err := samples.TimerPanicGRPC(ctx, conn, method, in, of.timeout)
			return err
		},
		"errgroup grpc": func(ctx context.Context) error {
			_, err := samples.ErrgroupGRPC(ctx, conn, method, of.timeout, in)
			return err
		},
		"io-timeout grpc": func(context.Context) error {
			_, err := samples.IOTimeoutGRPC(target, method, in, of.timeout)
			return err
		},
		"io-timeout http":          func(context.Context) error { _, err := samples.IOTimeoutHTTP(url, of.timeout); return err },
		"io-timeout cache":         func(context.Context) error { _, err := samples.IOTimeoutCache(addr, key, of.timeout); return err },
		"timeout-handler http":     served(samples.TimeoutHandlerHTTP(url, of.timeout)),
		"timeout-handler cache":    served(samples.TimeoutHandlerCache(addr, key, of.timeout)),
		"timeout-handler db":       served(samples.TimeoutHandlerDB(db, query, of.timeout)),
		"timeout-handler postgres": served(samples.TimeoutHandlerPostgres(pool, pgQuery, of.timeout)),
		"chi-timeout postgres":     served(samples.ChiTimeoutPostgres(pool, pgQuery, of.timeout)),
		"write-timeout postgres":   dialed(samples.WriteTimeoutPostgres(pool, pgQuery, of.timeout)),
		"failsafe-timeout postgres": func(ctx context.Context) error {
			_, err := samples.FailsafeTimeoutPostgres(ctx, pool, pgQuery, of.timeout)
			return err
		},
		"timeout-handler cpu": served(samples.TimeoutHandlerCPU(rounds, of.timeout)),
		"chi-timeout http":    served(samples.ChiTimeoutHTTP(url, of.timeout)),
		"chi-timeout cache":   served(samples.ChiTimeoutCache(addr, key, of.timeout)),
		"chi-timeout db":      served(samples.ChiTimeoutDB(db, query, of.timeout)),
		"chi-timeout cpu":     served(samples.ChiTimeoutCPU(rounds, of.timeout)),
		"write-timeout http":  dialed(samples.WriteTimeoutHTTP(url, of.timeout)),
		"write-timeout cache": dialed(samples.WriteTimeoutCache(addr, key, of.timeout)),
		"write-timeout db":    dialed(samples.WriteTimeoutDB(db, query, of.timeout)),
		"write-timeout cpu":   dialed(samples.WriteTimeoutCPU(rounds, of.timeout)),
		"failsafe-timeout http": func(ctx context.Context) error {
			_, err := samples.FailsafeTimeoutHTTP(ctx, url, of.timeout)
			return err
		},
		"failsafe-timeout cache": func(ctx context.Context) error {
			_, err := samples.FailsafeTimeoutCache(ctx, addr, key, of.timeout)
			return err
		},
		"failsafe-timeout db": func(ctx context.Context) error {
			_, err := samples.FailsafeTimeoutDB(ctx, db, query, of.timeout)
			return err
		},
		"failsafe-timeout cpu": func(ctx context.Context) error {
			_, err := samples.FailsafeTimeoutCPU(ctx, rounds, of.timeout)
			return err
		},
		"timeout-handler grpc": served(samples.TimeoutHandlerGRPC(conn, method, in, of.timeout)),
		"chi-timeout grpc":     served(samples.ChiTimeoutGRPC(conn, method, in, of.timeout)),
		"write-timeout grpc":   dialed(samples.WriteTimeoutGRPC(conn, method, in, of.timeout)),
		"failsafe-timeout grpc": func(ctx context.Context) error {
			_, err := samples.FailsafeTimeoutGRPC(ctx, conn, method, in, of.timeout)
			return err
		},
		"kill-query db": func(ctx context.Context) error {
			_, err := samples.KillQueryDB(ctx, db, computation, of.timeout)
			return err
		},
		"server-limit db": func(ctx context.Context) error {
			_, err := samples.ServerLimitDB(ctx, db, computation, of.timeout) // MySQL ends a SLEEP without an error
			return err
		},
		"baseline postgres": func(context.Context) error { _, err := samples.BaselinePostgres(pool, pgQuery); return err },
		"goroutine-abandon postgres": func(context.Context) error {
			_, err := samples.GoroutineAbandonPostgres(pool, pgQuery, of.timeout)
			return err
		},
		"context-cancel postgres": func(ctx context.Context) error {
			_, err := samples.ContextCancelPostgres(ctx, pool, pgQuery, of.timeout)
			return err
		},
		"timer-panic postgres": func(ctx context.Context) error {
			_, err := samples.TimerPanicPostgres(ctx, pool, pgQuery, of.timeout)
			return err
		},
		"errgroup postgres": func(ctx context.Context) error {
			_, err := samples.ErrgroupPostgres(ctx, pool, of.timeout, pgQuery)
			return err
		},
		"io-timeout postgres": func(context.Context) error {
			_, err := samples.IOTimeoutPostgres(pgURL, pgQuery, of.timeout)
			return err
		},
		"server-limit postgres": func(ctx context.Context) error {
			_, err := samples.ServerLimitPostgres(ctx, pool, pgQuery, of.timeout)
			return err
		},
		"baseline redis":          answers(func(context.Context) (any, error) { return samples.BaselineRedis(rdb, pop...) }),
		"goroutine-abandon redis": answers(func(context.Context) (any, error) { return samples.GoroutineAbandonRedis(rdb, of.timeout, pop...) }),
		"context-cancel redis": answers(func(ctx context.Context) (any, error) {
			return samples.ContextCancelRedis(ctx, rdb, of.timeout, pop...)
		}),
		"timer-panic redis": answers(func(ctx context.Context) (any, error) { return samples.TimerPanicRedis(ctx, rdb, of.timeout, pop...) }),
		"errgroup redis":    answers(func(ctx context.Context) (any, error) { return samples.ErrgroupRedis(ctx, rdb, of.timeout, pop) }),
		"failsafe-timeout redis": answers(func(ctx context.Context) (any, error) {
			return samples.FailsafeTimeoutRedis(ctx, rdb, of.timeout, pop...)
		}),
		"io-timeout redis": answers(func(context.Context) (any, error) {
			return samples.IOTimeoutRedis(servers["redis"].Addr, of.timeout, pop...)
		}),
		"timeout-handler redis": served(samples.TimeoutHandlerRedis(rdb, of.timeout, pop...)),
		"chi-timeout redis":     served(samples.ChiTimeoutRedis(rdb, of.timeout, pop...)),
		"write-timeout redis":   dialed(samples.WriteTimeoutRedis(rdb, of.timeout, pop...)),
		"io-timeout db":         func(context.Context) error { _, err := samples.IOTimeoutDB(cfg, query, of.timeout); return err },
	}
	maps.Copy(all, callsInChildren(of, map[string][2]string{
		"http": {url}, "cache": {addr, key}, "db": {cfg.FormatDSN(), query}, "postgres": {pgURL, pgQuery}, "redis": {servers["redis"].Addr, "a"},
		"grpc": {target, of.work.String()}, "cpu": {strconv.Itoa(rounds)},
	}))
	return all, servers
}

// answers makes a call to Redis, whose answer may be nil.
func answers(sample func(context.Context) (any, error)) call {
	return func(ctx context.Context) error {
		if _, err := sample(ctx); !errors.Is(err, redis.Nil) {
			return err
		}
		return nil
	}
}

// served makes a request to a handler. A status of 500 and above is an error.
func served(h http.Handler) call {
	return func(ctx context.Context) error {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequestWithContext(ctx, http.MethodGet, "/", nil))
		if w.Code >= http.StatusInternalServerError {
			return errors.New(w.Body.String())
		}
		return nil
	}
}

// dialed makes a request to a server.
func dialed(s *http.Server) call {
	return func(context.Context) error {
		server := httptest.NewUnstartedServer(nil)
		server.Config = s
		server.Start()
		defer server.Close()
		answer, err := server.Client().Get(server.URL)
		if err == nil {
			answer.Body.Close()
		}
		return err
	}
}

// roundsOf returns how many rounds of the samples' loop take at least d. The fastest
// measurement counts, because a busy machine makes the number of the others too low.
func roundsOf(d time.Duration) int {
	const sample = 20_000
	fastest := d
	for range 10 {
		began := time.Now()
		_, _ = samples.BaselineCPU(sample)
		fastest = min(fastest, time.Since(began))
	}
	return int(1.1 * sample * float64(d) / float64(fastest))
}

// Each sample does what the matrix has for its strategy: the time of the answer, an
// error or none, a goroutine left behind or none, and the time when the backend stops.
func TestSamples(t *testing.T) {
	rounds := roundsOf(computes.work)
	missing, _ := calls(t, rounds, waits)
	for _, row := range rows(t) {
		name := row[0] + " " + row[1]
		if missing[name] == nil {
			continue
		}
		delete(missing, name)
		t.Run(name, func(t *testing.T) {
			of := computes
			if row[1] != "cpu" {
				of = waits
				if _, child := callsInChildren(of, nil)[name]; !child { // the start of a process is within the timeout
					t.Parallel()
				}
			}
			calls, servers := calls(t, rounds, of)
			function := functionOf(row[0], row[1])
			differs := differences(t, row, of, calls[name], function, servers[row[1]])
			for try := 1; try < 3 && len(differs) > 0; try++ { // the machine may have paused
				differs = differences(t, row, of, calls[name], function, servers[row[1]])
			}
			for _, what := range differs {
				t.Error(what)
			}
		})
	}
	for name := range missing {
		t.Errorf("%s has no row in the matrix", name)
	}
}

// differences makes a call, and says in what it differs from its row.
func differences(t *testing.T, row []string, of times, call call, function string, server *backends.Server) (differs []string) {
	t.Helper()
	say := func(format string, args ...any) { differs = append(differs, fmt.Sprintf(format, args...)) }
	began := time.Now()
	err := call(t.Context())
	answered := time.Since(began)
	left := goroutines(function)
	if want := row[3] == "completed"; (err == nil) != want {
		say("error %v, want none: %t", err, want)
	}
	if want := row[4] == "timeout"; (answered < of.between) != want || answered < of.timeout {
		say("answered after %s, want at the timeout: %t", answered, want)
	}
	if want := row[7]; want != "0-1" && want != map[bool]string{false: "0", true: "1"}[left > 0] {
		say("%d goroutines were left behind, want %s", left, want)
	}
	if server != nil {
		backendtest.Eventually(t, "the backend stops", func() bool { return len(server.Working()) == 0 })
		if stopped := time.Since(began); (stopped < of.between) != (row[6] == "timeout") {
			say("the backend stopped after %s, want %s", stopped, row[6])
		}
	}
	backendtest.Eventually(t, "the goroutine ends", func() bool { return goroutines(function) == 0 })
	return differs
}

// rows returns the rows of the matrix for aware ops.
func rows(t *testing.T) (rows [][]string) {
	t.Helper()
	text, err := os.ReadFile("../../cmd/gotimeout/testdata/matrix.txt")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		row := strings.Fields(line)
		row[1] = strings.TrimSuffix(row[1], "/sleep")
		if row[1] = strings.TrimSuffix(row[1], "/on"); row[2] == "aware" {
			rows = append(rows, row)
		}
	}
	return rows
}

// functionOf returns the name of a sample.
func functionOf(strategy, op string) string {
	code, _ := samples.Of(strategy, op) // TestOf looks at the error
	_, after, _ := strings.Cut(code, "\nfunc ")
	name, _, _ := strings.Cut(after, "(")
	return name
}

// goroutines counts the goroutines that a sample has started.
func goroutines(function string) int {
	stacks := make([]byte, 1<<20)
	return strings.Count(string(stacks[:runtime.Stack(stacks, true)]), "created by gotimeout/internal/samples."+function+" ")
}

// Each strategy has code for each op, short enough to copy. The code imports no
// package of this module.
func TestOf(t *testing.T) {
	for _, s := range lab.Strategies() {
		for _, op := range []string{"http", "cache", "db", "postgres", "redis", "grpc", "cpu"} {
			code, err := samples.Of(s.Name, op)
			if !s.Suits(op) || s.Client != nil && op == "cpu" {
				want := prose.Unknown("code of "+s.Name+" for", op, samples.Ops(s.Name))
				if code != "" || err == nil || err.Error() != want {
					t.Errorf("%s has code for %s, which has nothing that it bounds: %s, %v", s.Name, op, code, err)
				}
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			file, err := parser.ParseFile(token.NewFileSet(), "", "package p\n"+code, parser.ParseComments)
			if err != nil || !strings.HasPrefix(code, "import") || strings.Contains(code, `"gotimeout`) {
				t.Errorf("%s on %s: %v\n%s", s.Name, op, err, code)
				continue
			}
			f := file.Decls[len(file.Decls)-1].(*ast.FuncDecl)
			if lines := strings.Count(code[f.Pos()-11:], "\n"); lines > 30 || f.Doc == nil {
				t.Errorf("%s on %s: %d lines, doc %q", s.Name, op, lines, f.Doc.Text())
			}
		}
	}
	for _, none := range [][2]string{{"nonesuch", "http"}, {"baseline", "../baseline_http"}} {
		if code, err := samples.Of(none[0], none[1]); code != "" || err == nil {
			t.Errorf("%s on %s: %v, %s", none[0], none[1], err, code)
		}
	}
}
