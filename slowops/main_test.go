package slowops_test

import (
	"context"
	"errors"
	"flag"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"gotimeout/slowops"
)

func TestMain(m *testing.M) {
	flag.Parse()
	_ = flag.Set("test.parallel", "8") // they wait: more at once than there are processors
	goleak.VerifyTestMain(m)
}

const (
	patience = 10 * time.Second // bounds what should happen soon
	long     = 5 * time.Minute  // a delay that nobody waits for
	short    = 100 * time.Millisecond
)

// eventually polls until ok, at most for patience.
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

// timed calls, and tells how long it took.
func timed(ctx context.Context, do doFunc, c slowops.Call) (time.Duration, error) {
	start := time.Now()
	err := do(ctx, c)
	return time.Since(start), err
}

// isTimeout tells whether err says in one of the usual ways that it is a timeout.
func isTimeout(err error) bool {
	var timeout net.Error
	return errors.Is(err, os.ErrDeadlineExceeded) || errors.As(err, &timeout) && timeout.Timeout()
}

// hooks counts what a call tells of its connections.
type hooks struct{ dialed, reused, closed atomic.Int32 }

// on returns c with its hooks set to count.
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

// realServer returns the address in a variable. It skips without one, but not
// where a CI promises the real servers.
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

// unleaked fails the test if a goroutine is left that it does not know.
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
