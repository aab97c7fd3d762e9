package slowops_test

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gotimeout/slowops"
)

// No library's default of two idle connections closes the others of a burst.
func TestSecondBurstDialsNothing(t *testing.T) {
	everywhere(t, anyPooled, realPooled, func(t *testing.T, s subject) {
		const size = 50
		first, second := new(hooks), new(hooks)
		burst(t, s, first, size)
		eventually(t, "all accepted", func() bool { return s.relay.acceptedSoFar() == size })
		burst(t, s, second, size)
		first.want(t, size, first.reused.Load(), 0)
		second.want(t, 0, size, 0)
		if n := s.relay.acceptedSoFar(); n != size {
			t.Errorf("the server accepted %d connections", n)
		}
	})
}

// burst makes n calls at once: none goes on before all of them have, or dial,
// a connection.
func burst(t *testing.T, s subject, told *hooks, n int) {
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
			c.Dialed = func() { told.dialed.Add(1); arrive() }
			c.Reused = func() { told.reused.Add(1); arrive() }
			c.Closed = func(string, netip.AddrPort, netip.AddrPort) { told.closed.Add(1) }
			if err := s.do(t.Context(), c); err != nil {
				t.Error(err)
			}
		})
	}
	calls.Wait()
}

// What nobody used for a second is closed, so that only what was left behind is
// still there; and a call after that dials.
func TestIdleConnectionsExpire(t *testing.T) {
	t.Parallel()
	for name, s := range pooled(t, 0) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, run := range []string{"first", "afterwards"} {
				told := new(hooks)
				if err := s.do(t.Context(), told.on(s.call(run, 0))); err != nil {
					t.Error(err)
				}
				eventually(t, "no connection", func() bool { return s.relay.openNow() == 0 })
				told.want(t, 1, 0, 0) // it was not held any more when it was closed
			}
		})
	}
}

// A hook may call an op: none is called under a lock of ours.
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
			returns(t, s, hooked(s.call("dials", 0)))
			returns(t, s, hooked(s.call("reuses", 0)))

			var closed atomic.Bool
			last := s.call("closes", long)
			last.Closed = func(string, netip.AddrPort, netip.AddrPort) { // perhaps after the test: without t
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

// returns fails the test unless the call succeeds.
func returns(t *testing.T, s subject, c slowops.Call) {
	t.Helper()
	result := make(chan error, 1)
	go func() { result <- s.do(t.Context(), c) }()
	select {
	case err := <-result:
		if err != nil {
			t.Errorf("%s: %v", c.Run, err)
		}
	case <-time.After(patience):
		t.Fatalf("%s: blocked", c.Run)
	}
}
