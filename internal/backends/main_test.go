package backends_test

import (
	"maps"
	"os"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"gotimeout/internal/backends"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds what should happen soon; it is far below the delays that tests expect to be cut short.
const (
	patience = 10 * time.Second
	long     = 5 * time.Minute
)

// runs counts what a backend reports.
type runs struct {
	mu           sync.Mutex
	began, ended map[string]int
}

func newRuns() *runs { return &runs{began: map[string]int{}, ended: map[string]int{}} }

func (r *runs) options() backends.Options {
	return backends.Options{
		MaxDelay: long,
		Began:    func(run string) { r.count(r.began, run) },
		Ended:    func(run string) { r.count(r.ended, run) },
	}
}

func (r *runs) count(in map[string]int, run string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	in[run]++
}

func (r *runs) hasBegun(run string) func() bool {
	return func() bool { return r.number(r.began, run) == 1 }
}
func (r *runs) hasEnded(run string) func() bool {
	return func() bool { return r.number(r.ended, run) == 1 }
}

func (r *runs) number(in map[string]int, run string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return in[run]
}

// balanced fails the test unless each run began once and ended once.
func (r *runs) balanced(t *testing.T, want ...string) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	once := map[string]int{}
	for _, run := range want {
		once[run] = 1
	}
	if !maps.Equal(r.began, once) || !maps.Equal(r.ended, once) {
		t.Errorf("began %v, ended %v; want each of %v once", r.began, r.ended, want)
	}
}

type starter func(backends.Options) (*backends.Server, error)

// start starts a backend that is closed with the test.
func start(t testing.TB, from starter, o backends.Options) *backends.Server {
	t.Helper()
	s, err := from(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

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

// realServer returns the address in a variable. It skips without one, but not where a CI promises the real servers.
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
