package slowops_test

import (
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	dbbackend "gotimeout/internal/backends/db"
	"gotimeout/slowops"
)

// maxPools is the package's bound.
const maxPools = 8

// openDBs counts the pools of database/sql in this process: each has a
// goroutine that dials for those who wait.
func openDBs() int {
	stacks := make([]byte, 16<<20)
	stacks = stacks[:runtime.Stack(stacks, true)]
	return strings.Count(string(stacks), "created by database/sql.OpenDB")
}

func labMySQL(t *testing.T) *slowops.MySQL {
	t.Helper()
	eventually(t, "no pool of another test", func() bool { return openDBs() == 0 })
	return newMySQL(t, lab(backend(t, dbbackend.Start, new(runs))), 0)
}

// in returns a call with a timeout of its own, which nothing runs into.
func in(i int) slowops.Call {
	return slowops.Call{Run: fmt.Sprint("pool-", i), IOTimeout: time.Hour + time.Duration(i)}
}

func TestPoolsOfTimeoutsAreFew(t *testing.T) {
	db := labMySQL(t)
	for i := range 40 {
		if err := db.Do(t.Context(), in(i)); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "few pools", func() bool { return openDBs() <= maxPools })
	told := new(hooks)
	if err := db.Do(t.Context(), told.on(in(39))); err != nil {
		t.Fatal(err)
	}
	told.want(t, 0, 1, 0)
}

// When many timeouts are in use at once all of them have a pool, but afterwards
// only some do.
func TestPoolsShrinkAfterABurst(t *testing.T) {
	db := labMySQL(t)
	var calls sync.WaitGroup
	for i := range 40 {
		calls.Go(func() {
			c := in(i)
			c.Delay = 2 * short
			if err := db.Do(t.Context(), c); err != nil {
				t.Error(err)
			}
		})
	}
	eventually(t, "a pool for each", func() bool { return openDBs() == 40 })
	calls.Wait()
	eventually(t, "few pools", func() bool { return openDBs() <= maxPools })
}

// The pool without a timeout is the one of DB's users too, and stays.
func TestPoolWithoutTimeoutStays(t *testing.T) {
	op := labMySQL(t)
	db, err := op.DB()
	if err != nil {
		t.Fatal(err)
	}
	for i := range 40 {
		if err := op.Do(t.Context(), in(i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.PingContext(t.Context()); err != nil {
		t.Error(err)
	}
}

// Somebody waits for the only connection of a pool while others want pools.
func TestPoolIsNotEvictedUnderAWaiter(t *testing.T) {
	began := new(runs)
	db := newMySQL(t, lab(backend(t, dbbackend.Start, began)), 1)
	holder, waiter := in(0), in(0)
	holder.Delay, waiter.Run = 3*short, "waiter"
	results := make(chan error, 2)
	go func() { results <- db.Do(t.Context(), holder) }()
	eventually(t, "began", func() bool { return began.has(holder.Run) })
	go func() { results <- db.Do(t.Context(), waiter) }()
	for i := range 40 {
		if err := db.Do(t.Context(), in(1+i)); err != nil {
			t.Error(err)
		}
	}
	for range cap(results) {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
}

// An evicted pool is one that nobody uses: no call meets "sql: database is closed".
func TestPoolsAreNotEvictedInUse(t *testing.T) {
	db := labMySQL(t)
	var workers sync.WaitGroup
	for worker := range 16 {
		workers.Go(func() {
			for i := range 40 {
				if err := db.Do(t.Context(), in((worker*7+i*3)%20)); err != nil {
					t.Errorf("worker %d, call %d: %v", worker, i, err)
					return
				}
			}
		})
	}
	workers.Wait()
}
