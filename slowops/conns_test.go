package slowops_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	dbbackend "gotimeout/internal/backends/db"
	"gotimeout/slowops"
)

func TestConnectionHooks(t *testing.T) {
	everywhere(t, connected, realPooled, func(t *testing.T, s subject) {
		for i, want := range [][3]int32{{1, 0, 0}, {0, 1, 0}, {0, 1, 0}} {
			seen := new(hooks)
			if err := s.do(t.Context(), seen.on(s.call(fmt.Sprint("call-", i), 0))); err != nil {
				t.Fatal(err)
			}
			seen.want(t, want[0], want[1], want[2])
		}
	})
}

func TestCancelClosesTheConnection(t *testing.T) {
	everywhere(t, slow(anyPooled), slow(realPooled), func(t *testing.T, s subject) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*short)
		defer cancel()
		cancelled, next := new(hooks), new(hooks)
		if err := s.do(ctx, cancelled.on(s.call("cancelled", s.far()))); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(err)
		}
		conns := int32(1)
		if s.cancels {
			conns = 2
		}
		eventually(t, "Closed", func() bool { return cancelled.closed.Load() == conns })
		if err := s.do(t.Context(), next.on(s.call("next", 0))); err != nil {
			t.Fatal(err)
		}
		cancelled.want(t, conns, 0, conns)
		next.want(t, 1, 0, 0)
	})
}

func TestTwoAtOnceDialTwice(t *testing.T) {
	for name, s := range pooled(t, 0) {
		t.Run(name, func(t *testing.T) {
			one, two := new(hooks), new(hooks)
			ctx, cancel := context.WithCancel(t.Context())
			result := make(chan error, 1)
			go func() { result <- s.do(ctx, one.on(s.call("one", long))) }()
			defer func() { cancel(); <-result }()
			eventually(t, "began", func() bool { return s.began.has("one") })
			if err := s.do(t.Context(), two.on(s.call("two", 0))); err != nil {
				t.Fatal(err)
			}
			one.want(t, 1, 0, 0)
			two.want(t, 1, 0, 0)
		})
	}
}

func TestOneConnectionForMany(t *testing.T) {
	everywhere(t, sharing(connected), sharing(realPooled), func(t *testing.T, s subject) {
		for i := range 100 {
			if err := s.do(t.Context(), s.call(fmt.Sprint("many-", i), 0)); err != nil {
				t.Fatal(err)
			}
		}
		if n := s.relay.acceptedSoFar(); n != 1 {
			t.Errorf("the server accepted %d connections", n)
		}
	})
}

func TestMaxConns(t *testing.T) {
	t.Parallel()
	for name, s := range pooled(t, 2) {
		t.Run(name, func(t *testing.T) {
			var calls sync.WaitGroup
			for i := range 6 {
				calls.Go(func() {
					if err := s.do(t.Context(), s.call(fmt.Sprint("bound-", i), short)); err != nil {
						t.Error(err)
					}
				})
			}
			calls.Wait()
			if most := s.relay.openAtMost(); name != "cache" && most != 2 {
				t.Errorf("%d connections at once", most)
			}
		})
	}
}

// A connection that the op has no room for is closed with its call, which is told.
func TestSetMaxIdle(t *testing.T) {
	t.Parallel()
	for _, most := range []int{0, 2} {
		for name, s := range connected(t) {
			if s.setMaxIdle == nil {
				continue
			}
			t.Run(fmt.Sprint(name, " keeps ", most), func(t *testing.T) {
				t.Parallel()
				s.setMaxIdle(most)
				const size = 6
				seen := new(hooks)
				burst(t, s, seen, size)
				eventually(t, "the others closed", func() bool { return seen.closed.Load() >= int32(size-most) })
				eventually(t, "idle connections", func() bool { return s.relay.openNow() <= most })
				if dialed, closed := seen.dialed.Load(), seen.closed.Load(); dialed != size || closed > size || closed < dialed-int32(most) {
					t.Errorf("dialed %d, closed %d", dialed, closed)
				}
				if err := s.do(t.Context(), s.call("next", 0)); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

// A library's default of two idle connections must not close the rest of a burst.
func TestSecondBurstDialsNothing(t *testing.T) {
	everywhere(t, sharing(anyPooled), sharing(realPooled), func(t *testing.T, s subject) {
		const size = 50
		var first, second *hooks
		var accepted int
		for try := 0; try < 3 && (try == 0 || second.dialed.Load() > 0); try++ { // the connections may have been idle for too long
			eventually(t, "an empty pool", func() bool { return s.relay.openNow() == 0 })
			before := s.relay.acceptedSoFar()
			first, second = new(hooks), new(hooks)
			burst(t, s, first, size)
			eventually(t, "all accepted", func() bool { return s.relay.acceptedSoFar() == before+size })
			burst(t, s, second, size)
			accepted = s.relay.acceptedSoFar() - before
		}
		first.want(t, size, first.reused.Load(), 0)
		second.want(t, 0, size, 0)
		if accepted != size {
			t.Errorf("the server accepted %d connections", accepted)
		}
	})
}

// burst makes n calls at once. None goes on before each of them has a connection or
// dials one.
func burst(t *testing.T, s subject, seen *hooks, n int) {
	t.Helper()
	var arrived atomic.Int32
	all := make(chan struct{})
	gate := func() {
		if arrived.Add(1) == int32(n) {
			close(all)
		}
		select {
		case <-all:
		case <-time.After(patience):
			t.Error("a call has no connection")
		}
	}
	var calls sync.WaitGroup
	for i := range n {
		calls.Go(func() {
			arrive := sync.OnceFunc(gate)
			c := s.call(fmt.Sprint("burst-", i), short)
			c.Dialed = func() { seen.dialed.Add(1); arrive() }
			c.Reused = func() { seen.reused.Add(1); arrive() }
			c.Closed = func(string, netip.AddrPort, netip.AddrPort) { seen.closed.Add(1) }
			if err := s.do(t.Context(), c); err != nil {
				t.Error(err)
			}
		})
	}
	calls.Wait()
}

// A connection that was idle for a second is closed, so that any connection still open was
// left behind. The next call dials.
func TestIdleConnectionsExpire(t *testing.T) {
	t.Parallel()
	for name, s := range connected(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, run := range []string{"first", "afterwards"} {
				seen := new(hooks)
				if err := s.do(t.Context(), seen.on(s.call(run, 0))); err != nil {
					t.Error(err)
				}
				eventually(t, "no connection", func() bool { return s.relay.openNow() == 0 })
				seen.want(t, 1, 0, 0) // no call held the connection when the pool closed it
			}
		})
	}
}

// A hook may call an op, because the ops call their hooks without holding a lock.
func TestHooksMayCall(t *testing.T) {
	for name, s := range pooled(t, 0) {
		t.Run(name, func(t *testing.T) {
			again := func() {
				if err := s.do(t.Context(), slowops.Call{Work: s.work, Run: "inner"}); err != nil {
					t.Error(err)
				}
			}
			hooked := func(c slowops.Call) slowops.Call {
				c.Dialed, c.Reused = again, again
				return c
			}
			mustReturn(t, s, hooked(s.call("dials", 0)))
			mustReturn(t, s, hooked(s.call("reuses", 0)))

			var closed atomic.Bool
			last := s.call("closes", long)
			last.Closed = func(string, netip.AddrPort, netip.AddrPort) { // may be called after the test, so it doesn't use t
				_ = s.do(context.Background(), slowops.Call{Work: s.work})
				closed.Store(true)
			}
			if err := cancelledAtWork(t, s, last); err == nil {
				t.Error("the cancelled call has no error")
			}
			eventually(t, "Closed has returned", closed.Load)
		})
	}
}

// mustReturn fails the test unless the call succeeds.
func mustReturn(t *testing.T, s subject, c slowops.Call) {
	t.Helper()
	result := make(chan error, 1)
	go func() { result <- s.do(t.Context(), c) }()
	select {
	case err := <-result:
		if err != nil {
			t.Errorf("%s: %v", c.Run, err)
		}
	case <-time.After(patience):
		t.Fatalf("%s: the call is blocked", c.Run)
	}
}

// maxPools is the package's limit of pools.
const maxPools = 8

// openDBs counts the pools of database/sql in this process: each pool has one
// goroutine that opens connections.
func openDBs() int {
	stacks := make([]byte, 16<<20)
	stacks = stacks[:runtime.Stack(stacks, true)]
	return strings.Count(string(stacks), "created by database/sql.OpenDB")
}

func labMySQL(t *testing.T) *slowops.MySQL {
	t.Helper()
	eventually(t, "no pool of another test", func() bool { return openDBs() == 0 })
	return newMySQL(t, labDSN(backend(t, dbbackend.Start, new(runs))), 0)
}

// withTimeout returns a call with an IOTimeout of its own, long enough never to be exceeded.
func withTimeout(i int) slowops.Call {
	return slowops.Call{Run: fmt.Sprint("pool-", i), IOTimeout: time.Hour + time.Duration(i)}
}

func TestPoolsOfTimeoutsAreFew(t *testing.T) {
	db := labMySQL(t)
	for i := range 40 {
		if err := db.Do(t.Context(), withTimeout(i)); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "few pools", func() bool { return openDBs() <= maxPools })
	seen := new(hooks)
	if err := db.Do(t.Context(), seen.on(withTimeout(39))); err != nil {
		t.Fatal(err)
	}
	seen.want(t, 0, 1, 0)
}

// While many timeouts are in use at once each has a pool; afterwards only maxPools
// of them have one.
func TestPoolsShrinkAfterABurst(t *testing.T) {
	db := labMySQL(t)
	var calls sync.WaitGroup
	for i := range 40 {
		calls.Go(func() {
			c := withTimeout(i)
			c.Delay = 30 * short // until all pools are there
			if err := db.Do(t.Context(), c); err != nil {
				t.Error(err)
			}
		})
	}
	eventually(t, "a pool for each", func() bool { return openDBs() == 40 })
	calls.Wait()
	eventually(t, "few pools", func() bool { return openDBs() <= maxPools })
}

// The users of DB share the pool without a timeout, so that pool stays open.
func TestPoolWithoutTimeoutStays(t *testing.T) {
	op := labMySQL(t)
	db, err := op.DB()
	if err != nil {
		t.Fatal(err)
	}
	for i := range 40 {
		if err := op.Do(t.Context(), withTimeout(i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.PingContext(t.Context()); err != nil {
		t.Error(err)
	}
}

// A call waits for the only connection of a pool while other calls need pools: the
// pool is not evicted.
func TestPoolIsNotEvictedUnderAWaiter(t *testing.T) {
	began := new(runs)
	db := newMySQL(t, labDSN(backend(t, dbbackend.Start, began)), 1)
	holder, waiter := withTimeout(0), withTimeout(0)
	holder.Delay, waiter.Run = 20*short, "waiter"
	results := make(chan error, 2)
	go func() { results <- db.Do(t.Context(), holder) }()
	eventually(t, "began", func() bool { return began.has(holder.Run) })
	go func() { results <- db.Do(t.Context(), waiter) }()
	for i := range 40 {
		if err := db.Do(t.Context(), withTimeout(1+i)); err != nil {
			t.Error(err)
		}
	}
	for range cap(results) {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
}

// No pool is evicted while a call uses it, so no call gets "sql: database is closed".
func TestPoolsAreNotEvictedInUse(t *testing.T) {
	db := labMySQL(t)
	var workers sync.WaitGroup
	for worker := range 16 {
		workers.Go(func() {
			for i := range 40 {
				if err := db.Do(t.Context(), withTimeout((worker*7+i*3)%20)); err != nil {
					t.Errorf("worker %d, call %d: %v", worker, i, err)
					return
				}
			}
		})
	}
	workers.Wait()
}
