package slowops_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"gotimeout/slowops"
	"gotimeout/strategies"

	"go.uber.org/goleak"
)

func TestCompletes(t *testing.T) {
	t.Parallel()
	everywhere(t, allOps, realOps, func(t *testing.T, s subject) {
		for _, delay := range []time.Duration{0, short} {
			took, err := timed(t.Context(), s.do, s.call("completes", delay))
			if err != nil {
				t.Errorf("delay %s: %v", delay, err)
			}
			if !s.quick && took < s.least(delay) {
				t.Errorf("delay %s: took only %s", delay, took)
			}
		}
	})
}

func TestAwareReturnsEarly(t *testing.T) {
	t.Parallel()
	everywhere(t, slow(allOps), slow(realOps), func(t *testing.T, s subject) {
		ctx, cancel := context.WithTimeout(t.Context(), short)
		defer cancel()
		took, err := timed(ctx, s.do, s.call("deadline", s.far()))
		if !errors.Is(err, context.DeadlineExceeded) || took > patience {
			t.Errorf("deadline of %s: %v after %s", short, err, took)
		}
		took, err = timed(ctx, s.do, s.call("before", s.far()))
		if !errors.Is(err, context.DeadlineExceeded) || took > patience {
			t.Errorf("done before the call: %v after %s", err, took)
		}
		if s.began == nil {
			return
		}
		err = cancelledAtWork(t, s, s.call("cancel", long))
		if !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled: %v", err)
		}
	})
}

// cancelledAtWork starts a call, cancels it while the server works on it, and returns its error.
func cancelledAtWork(t *testing.T, s subject, c slowops.Call) error {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	result := make(chan error, 1)
	go func() { result <- s.do(ctx, c) }()
	eventually(t, "began "+c.Run, func() bool { return s.began.has(c.Run) })
	cancel()
	select {
	case err := <-result:
		return err
	case <-time.After(patience):
		t.Fatalf("%s: the call did not return after its cancel", c.Run)
		return nil
	}
}

func TestDeafReturnsLate(t *testing.T) {
	t.Parallel()
	everywhere(t, allOps, realOps, func(t *testing.T, s subject) {
		before, cancel := context.WithCancel(t.Context())
		cancel()
		during, cancel := context.WithTimeout(t.Context(), short/10)
		defer cancel()
		for when, ctx := range map[string]context.Context{"before": before, "during": during} {
			c := s.call("deaf-"+when, 2*short)
			c.Deaf = true
			took, err := timed(ctx, s.do, c)
			if err != nil {
				t.Errorf("cancelled %s: %v", when, err)
			}
			if !s.quick && took < s.least(c.Delay) {
				t.Errorf("cancelled %s: the call returned after %s", when, took)
			}
		}
	})
}

func TestIOTimeout(t *testing.T) {
	t.Parallel()
	everywhere(t, bounding(slow(connected)), bounding(slow(realOps)), func(t *testing.T, s subject) {
		for _, deaf := range []bool{false, true} {
			c := s.call("iotimeout", s.far())
			c.IOTimeout, c.Deaf = short, deaf
			took, err := timed(t.Context(), s.do, c)
			if !isTimeout(err) || took < short || took > patience {
				t.Errorf("deaf %t: %v after %s", deaf, err, took)
			}
			c.Delay, c.IOTimeout = 0, patience
			if err := s.do(t.Context(), c); err != nil {
				t.Errorf("deaf %t: a call within the timeout: %v", deaf, err)
			}
		}
	})
}

// A call without an IOTimeout must not inherit the IOTimeout of the call before.
func TestIOTimeoutIsOfOneCall(t *testing.T) {
	t.Parallel()
	for name, s := range connected(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := s.call("first", 0)
			c.IOTimeout = 20 * short
			if err := s.do(t.Context(), c); err != nil {
				t.Error(err)
			}
			if err := s.do(t.Context(), s.call("second", 25*short)); err != nil {
				t.Error(err)
			}
		})
	}
}

// BenchmarkTimeouts measures how late each timeout is, over calls one after the
// other: go test -run '^$' -bench Timeouts -benchtime 200x ./slowops
func BenchmarkTimeouts(b *testing.B) {
	const bound = 20 * time.Millisecond
	op := targets(b)
	for _, of := range []struct {
		name string
		call slowops.Call
		code string
	}{
		{"connect", slowops.Call{Target: "blackhole", ConnectTimeout: bound, IOTimeout: time.Minute}, "connect_timeout"},
		{"tls", slowops.Call{Target: "slow-tls", TLSTimeout: bound, IOTimeout: time.Minute}, "tls_timeout"},
		{"header", slowops.Call{Target: "silent", HeaderTimeout: bound, IOTimeout: time.Minute}, "header_timeout"},
		{"header-h2", slowops.Call{Target: "silent-h2", HeaderTimeout: bound, IOTimeout: time.Minute}, "header_timeout"},
		{"read", slowops.Call{Target: "stall", ReadTimeout: bound, IOTimeout: time.Minute}, "read_timeout"},
		{"read-h2", slowops.Call{Target: "stall-h2", ReadTimeout: bound, IOTimeout: time.Minute}, "read_timeout"},
		{"total", slowops.Call{Target: "drip", Delay: time.Minute, IOTimeout: bound}, "total_timeout"},
	} {
		b.Run(of.name, func(b *testing.B) {
			var late []time.Duration
			for b.Loop() {
				start := time.Now()
				err := op.Do(context.Background(), of.call)
				late = append(late, time.Since(start)-bound)
				if code(err) != of.code {
					b.Fatalf("got %s, want %s", code(err), of.code)
				}
			}
			slices.Sort(late)
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(late[len(late)/2].Seconds()*1e3, "p50-ms")
			b.ReportMetric(late[(len(late)-1)*99/100].Seconds()*1e3, "p99-ms")
			b.ReportMetric(late[len(late)-1].Seconds()*1e3, "max-ms")
		})
	}
}

// opsAt returns the ops that need a connection, each with addr as its server.
func opsAt(t *testing.T, addr string) map[string]doFunc {
	t.Helper()
	http := slowops.NewHTTP("http://"+addr, 0)
	t.Cleanup(http.Close)
	cache := slowops.NewCache(addr)
	t.Cleanup(cache.Close)
	grpc := slowops.NewGRPC(addr)
	t.Cleanup(grpc.Close)
	return map[string]doFunc{
		"http": http.Do, "cache": cache.Do, "db": newMySQL(t, labDSN(addr), 0).Do, "postgres": newPostgres(t, labURL(addr), 0).Do, "grpc": grpc.Do,
		"redis": deadline(newRedis(t, "redis://"+addr).Do),
	}
}

// The server accepts and sends nothing, so MySQL's driver waits in its handshake.
func TestSilentServer(t *testing.T) {
	t.Parallel()
	addr := serve(t, func(c net.Conn) { _, _ = io.Copy(io.Discard, c) })
	for name := range opsAt(t, addr) {
		t.Run(name, func(t *testing.T) {
			do, seen := opsAt(t, addr)[name], new(hooks)
			took, err := timed(t.Context(), do, seen.on(slowops.Call{Deaf: true, IOTimeout: 10 * short})) // the call has dialed by then
			if !isTimeout(err) || took < 10*short || took > patience {
				t.Errorf("IOTimeout: %v after %s", err, took)
			}
			eventually(t, "Closed", func() bool { return seen.closed.Load() == 1 })
			seen.want(t, 1, 0, 1)

			took, err = timed(t.Context(), do, slowops.Call{Deaf: true, Limit: short})
			if !errors.Is(err, slowops.ErrLimit) || took < short || took > patience {
				t.Errorf("Limit: %v after %s", err, took)
			}

			do, seen = opsAt(t, addr)[name], new(hooks) // with no connection that grpc still makes for the calls before
			ctx, cancel := context.WithTimeout(t.Context(), 10*short)
			defer cancel()
			took, err = timed(ctx, do, seen.on(slowops.Call{}))
			if !errors.Is(err, context.DeadlineExceeded) || took > patience {
				t.Errorf("context: %v after %s", err, took)
			}
			if name == "postgres" { // its pool dials on, see TestPostgresPoolDialsOn
				return
			}
			eventually(t, "Closed", func() bool { return seen.closed.Load() == 1 })
			seen.want(t, 1, 0, 1)
		})
	}
}

// No client retries a call that was refused, or whose connection was closed.
func TestRefusedAndHungUp(t *testing.T) {
	for what, addr := range map[string]string{
		"refused": down(t),
		"hung up": serve(t, func(net.Conn) {}),
	} {
		for name, do := range opsAt(t, addr) {
			t.Run(what+" "+name, func(t *testing.T) {
				seen := new(hooks)
				took, err := timed(t.Context(), do, seen.on(slowops.Call{}))
				if err == nil || isTimeout(err) || took > patience {
					t.Errorf("%v after %s", err, took)
				}
				if n := seen.dialed.Load(); n != 1 {
					t.Errorf("dialed %d times", n)
				}
			})
		}
	}
}

// The number of calls that TimerPanic cuts; with GOTIMEOUT_SOAK=1 the larger one.
const (
	panics     = 2_000
	soakPanics = 100_000
)

// strategies.TimerPanic panics only after the client has returned, so its panics,
// however many, take no slot of a pool, poison no connection and leave no goroutine.
func TestTimerPanicsLeaveThePoolsWhole(t *testing.T) {
	n := panics
	if os.Getenv("GOTIMEOUT_SOAK") == "1" {
		n = soakPanics
	}
	for _, name := range []string{"http", "cache", "db sleep", "postgres", "grpc"} {
		t.Run(name, func(t *testing.T) {
			known := goleak.IgnoreCurrent()
			t.Run("ops", func(t *testing.T) {
				ops := pooled(t, 4)
				ops["grpc"] = shared(t)
				s := ops[name]
				manyPanics(t, s, n)
				stillWhole(t, s)
			})
			unleaked(t, known)
		})
	}
}

// manyPanics cuts calls in each of their phases: while they wait for a connection,
// dial, and wait for the answer.
func manyPanics(t *testing.T, s subject, n int) {
	t.Helper()
	var strategy strategies.TimerPanic
	var workers sync.WaitGroup
	const size = 8
	for worker := range size {
		workers.Go(func() {
			for i := range n / size {
				c := s.call(fmt.Sprintf("panic-%d-%d", worker, i), 10*short)
				timeout := rand.N(4 * time.Millisecond)
				err := strategy.Do(t.Context(), timeout, func(ctx context.Context) error { return s.do(ctx, c) })
				if !errors.Is(err, strategies.ErrTimeout) {
					t.Errorf("call %d: %v", i, err)
					return
				}
			}
		})
	}
	workers.Wait()
}

func stillWhole(t *testing.T, s subject) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var calls sync.WaitGroup
	for i := range 20 {
		calls.Go(func() {
			c := slowops.Call{Run: fmt.Sprint("normal-", i), Work: s.work, Delay: time.Duration(i%2) * short}
			took, err := timed(ctx, s.do, c)
			if err != nil || took < c.Delay {
				t.Errorf("call %d afterwards: %v after %s", i, err, took)
			}
		})
	}
	calls.Wait()
}
