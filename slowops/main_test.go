package slowops_test

import (
	"context"
	"errors"
	"flag"
	"maps"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gotimeout/internal/backends"
	cachebackend "gotimeout/internal/backends/cache"
	dbbackend "gotimeout/internal/backends/db"
	grpcbackend "gotimeout/internal/backends/grpc"
	httpbackend "gotimeout/internal/backends/http"
	postgresbackend "gotimeout/internal/backends/postgres"
	redisbackend "gotimeout/internal/backends/redis"
	"gotimeout/slowops"

	"github.com/redis/go-redis/v9/logging"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	flag.Parse()
	_ = flag.Set("test.parallel", "8") // the tests mostly wait, so more of them run at once than there are processors
	logging.Disable()                  // of go-redis
	goleak.VerifyTestMain(m)
}

const (
	patience = 30 * time.Second // the bound for an event that should come soon
	long     = 5 * time.Minute  // a delay that no test waits for
	short    = 100 * time.Millisecond
)

// eventually polls ok until it returns true, for at most patience.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	ticker := time.NewTicker(2 * time.Millisecond)
	defer ticker.Stop()
	for deadline := time.Now().Add(patience); !ok(); <-ticker.C {
		if time.Now().After(deadline) {
			t.Fatalf("not within %s: %s", patience, what)
		}
	}
}

// timed makes a call, and returns how long the call took.
func timed(ctx context.Context, do doFunc, c slowops.Call) (time.Duration, error) {
	start := time.Now()
	err := do(ctx, c)
	return time.Since(start), err
}

// isTimeout reports whether err is a timeout: by a Timeout method, or as deadline exceeded.
func isTimeout(err error) bool {
	var timeout net.Error
	return errors.Is(err, os.ErrDeadlineExceeded) || errors.As(err, &timeout) && timeout.Timeout()
}

// hooks counts the connections that a call dials, reuses and closes.
type hooks struct{ dialed, reused, closed atomic.Int32 }

// on returns c with hooks that count.
func (h *hooks) on(c slowops.Call) slowops.Call {
	c.Dialed = func() { h.dialed.Add(1) }
	c.Reused = func() { h.reused.Add(1) }
	c.Closed = func(string, netip.AddrPort, netip.AddrPort) { h.closed.Add(1) }
	return c
}

func (h *hooks) want(t *testing.T, dialed, reused, closed int32) {
	t.Helper()
	if d, r, c := h.dialed.Load(), h.reused.Load(), h.closed.Load(); d != dialed || r != reused || c != closed {
		t.Errorf("dialed %d, reused %d, closed %d; want %d, %d, %d", d, r, c, dialed, reused, closed)
	}
}

// runs is the set of the runs that a backend has begun.
type runs struct {
	mu    sync.Mutex
	begun map[string]bool
}

func (r *runs) begin(run string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.begun == nil {
		r.begun = map[string]bool{}
	}
	r.begun[run] = true
}

func (r *runs) has(run string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.begun[run]
}

// realServer returns the address in an environment variable. Without one it skips the
// test, or fails it where the CI promises the real servers.
func realServer(t *testing.T, variable string) string {
	t.Helper()
	address := os.Getenv(variable)
	if address == "" && os.Getenv("CI") == "true" {
		t.Fatalf("%s is not set: CI must run this against the real server", variable)
	}
	if address == "" {
		t.Skipf("%s is not set", variable)
	}
	return address
}

// unleaked fails the test if a goroutine is left behind that is not known.
func unleaked(t *testing.T, known goleak.Option) {
	t.Helper()
	var err error
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		if err = goleak.Find(known); err == nil {
			return
		}
	}
	t.Error(err)
}

type doFunc func(context.Context, slowops.Call) error

// subject is an op under test.
type subject struct {
	do      doFunc
	work    string
	relay   *relay // in front of the server
	began   *runs  // the runs that the server began; nil where the server can't report them
	inexact bool   // a delay is only about as long as asked for
	quick   bool   // the server can't delay an answer
	cancels bool   // a cancel makes a connection of its own
	unbound bool   // the client has a timeout for the connection alone
	looks   bool   // the pool takes its idle connections for a moment, to look at them

	setMaxIdle func(int) // nil where all calls share a connection
}

func (s subject) call(run string, delay time.Duration) slowops.Call {
	return slowops.Call{Run: run, Delay: delay, Work: s.work}
}

// least is the least time that a call with the delay takes. Nothing is known where the machine
// may have slowed down the calibration and not the work.
func (s subject) least(delay time.Duration) time.Duration {
	if s.inexact {
		return 0
	}
	return delay
}

// far is a delay that no call waits for. It is bounded, because a real server goes on
// computing until the delay is over.
func (s subject) far() time.Duration {
	if s.began == nil {
		return 3 * time.Second
	}
	return long
}

// pooled returns the ops that keep connections; all but cache have at most maxConns of them.
func pooled(t *testing.T, maxConns int) map[string]subject {
	t.Helper()
	var began [4]runs // one of each op, because a run has the same tag in all of them
	web := startRelay(t, backend(t, httpbackend.Start, &began[0]))
	http := slowops.NewHTTP("http://"+web.addr, maxConns)
	t.Cleanup(http.Close)
	store := startRelay(t, backend(t, cachebackend.Start, &began[1]))
	cache := slowops.NewCache(store.addr)
	t.Cleanup(cache.Close)
	base := startRelay(t, backend(t, dbbackend.Start, &began[2]))
	db := newMySQL(t, labDSN(base.addr), maxConns)
	other := startRelay(t, backend(t, postgresbackend.Start, &began[3]))
	pg := newPostgres(t, labURL(other.addr), maxConns)
	onPg := postgresSubject(pg.Do, other, &began[3])
	onPg.setMaxIdle = pg.SetMaxIdle
	return map[string]subject{
		"http":     {do: http.Do, relay: web, began: &began[0], setMaxIdle: http.SetMaxIdle},
		"cache":    {do: cache.Do, relay: store, began: &began[1], setMaxIdle: cache.SetMaxIdle},
		"db sleep": {do: db.Do, relay: base, began: &began[2], work: slowops.WorkSleep, setMaxIdle: db.SetMaxIdle},
		"postgres": onPg,
	}
}

// connected returns the ops with a connection: the pooled ones, redis, which no cancel ends, and
// grpc, whose calls share one.
func connected(t *testing.T) map[string]subject {
	t.Helper()
	ops := pooled(t, 0)
	ops["redis"] = redisSubject(t, startRelay(t, backend(t, redisbackend.Start, new(runs))))
	ops["grpc"] = shared(t)
	return ops
}

// shared returns the op grpc.
func shared(t *testing.T) subject {
	t.Helper()
	began := new(runs)
	remote := startRelay(t, backend(t, grpcbackend.Start, began))
	op := slowops.NewGRPC(remote.addr)
	t.Cleanup(op.Close)
	return subject{do: op.Do, relay: remote, began: began}
}

// allOps returns every op, with the embedded servers.
func allOps(t *testing.T) map[string]subject {
	t.Helper()
	ops := connected(t)
	began := new(runs)
	db := newMySQL(t, labDSN(backend(t, dbbackend.Start, began)), 0)
	calibrate(t, db)
	ops["db cpu"] = subject{do: db.Do, began: began, work: slowops.WorkCPU, inexact: true}
	ops["cpu"] = subject{do: slowops.CPU{}.Do}
	ops["postgres cpu"] = subject{do: ops["postgres"].do, began: ops["postgres"].began, work: slowops.WorkCPU, unbound: true}
	return ops
}

// realOps returns the ops on the real servers that the environment names.
func realOps(t *testing.T) map[string]subject {
	t.Helper()
	ops := realPooled(t)
	db := newMySQL(t, realServer(t, "MYSQL_DSN"), 0)
	calibrate(t, db)
	ops["db cpu"] = subject{do: db.Do, work: slowops.WorkCPU, inexact: true}
	ops["postgres cpu"] = subject{do: ops["postgres"].do, work: slowops.WorkCPU, unbound: true}
	return ops
}

func realPooled(t *testing.T) map[string]subject {
	t.Helper()
	store := startRelay(t, realServer(t, "MEMCACHED_ADDR"))
	cache := slowops.NewCache(store.addr)
	t.Cleanup(cache.Close)
	cfg, _, err := slowops.ParseDSN(realServer(t, "MYSQL_DSN"))
	if err != nil {
		t.Fatal(err)
	}
	base := startRelay(t, cfg.Addr)
	cfg.Addr = base.addr
	db := newMySQL(t, cfg.FormatDSN(), 0)
	return map[string]subject{
		"cache":    {do: cache.Do, relay: store, quick: true},
		"db sleep": {do: db.Do, relay: base, work: slowops.WorkSleep},
		"postgres": realPostgres(t),
		"redis":    realRedis(t),
	}
}

// backend starts an embedded server that is closed with the test.
func backend(t *testing.T, start func(backends.Options) (*backends.Server, error), began *runs) (addr string) {
	t.Helper()
	s, err := start(backends.Options{MaxDelay: long, Began: began.begin})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s.Addr
}

// labDSN returns the DSN of an embedded database.
func labDSN(addr string) string { return "lab@tcp(" + addr + ")/lab" }

func newMySQL(t *testing.T, dsn string, maxConns int) *slowops.MySQL {
	t.Helper()
	cfg, _, err := slowops.ParseDSN(dsn)
	if err != nil {
		t.Fatal(err)
	}
	db := slowops.NewMySQL(cfg, maxConns)
	t.Cleanup(db.Close)
	return db
}

func calibrate(t *testing.T, db *slowops.MySQL) {
	t.Helper()
	if err := db.Calibrate(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// everywhere runs a test for each op, on the embedded and on the real servers.
func everywhere(t *testing.T, embedded, real func(*testing.T) map[string]subject, test func(*testing.T, subject)) {
	t.Helper()
	for place, ops := range map[string]func(*testing.T) map[string]subject{"embedded": embedded, "real": real} {
		t.Run(place, func(t *testing.T) {
			for name, s := range ops(t) {
				t.Run(name, func(t *testing.T) { test(t, s) })
			}
		})
	}
}

// slow leaves out the ops whose server can't delay an answer.
func slow(ops func(*testing.T) map[string]subject) func(*testing.T) map[string]subject {
	return func(t *testing.T) map[string]subject {
		all := ops(t)
		maps.DeleteFunc(all, func(_ string, s subject) bool { return s.quick })
		return all
	}
}

// bounding leaves out the ops whose client has no timeout for reads.
func bounding(ops func(*testing.T) map[string]subject) func(*testing.T) map[string]subject {
	return func(t *testing.T) map[string]subject {
		all := ops(t)
		maps.DeleteFunc(all, func(_ string, s subject) bool { return s.unbound })
		return all
	}
}

// sharing leaves out the ops whose pool may dial while a connection is idle.
func sharing(ops func(*testing.T) map[string]subject) func(*testing.T) map[string]subject {
	return func(t *testing.T) map[string]subject {
		all := ops(t)
		maps.DeleteFunc(all, func(_ string, s subject) bool { return s.looks })
		return all
	}
}

func anyPooled(t *testing.T) map[string]subject { return pooled(t, 0) }
