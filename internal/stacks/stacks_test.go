package stacks_test

import (
	"context"
	"os"
	"runtime/pprof"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"gotimeout/internal/backends/backendtest"
	"gotimeout/internal/stacks"
)

// TestMain does not look for leaks where a test has planted one.
func TestMain(m *testing.M) {
	if pprof.Lookup("goroutineleak") != nil {
		os.Exit(m.Run())
	}
	goleak.VerifyTestMain(m)
}

// of waits until work of a receipt is at a place whose function has the name.
func of(t *testing.T, receipt, at string) (s stacks.Stack) {
	t.Helper()
	backendtest.Eventually(t, receipt+" is in "+at, func() bool {
		found := stacks.Of(receipt)
		if len(found) == 1 {
			s = found[0]
		}
		return strings.Contains(s.Stack, at)
	})
	return s
}

// late is work that ends when the test lets it.
func late(end <-chan struct{}) { <-end }

func TestOf(t *testing.T) {
	end, ended, child := make(chan struct{}), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		_ = stacks.Do(t.Context(), "goroutine-abandon", "http", "lab-1", func(context.Context) error {
			go func() { late(end); close(child) }() // has the labels, and is not the op
			late(end)
			return nil
		})
	}()
	s := of(t, "lab-1", "stacks_test.late")
	if s.Goroutines != 1 || !strings.Contains(s.Stack, "stacks_test.go:") {
		t.Errorf("%d goroutines at\n%s", s.Goroutines, s.Stack)
	}
	if s.Leaked != nil && *s.Leaked {
		t.Error("late work counts as leaked")
	}
	if found := stacks.Of("lab-11"); len(found) > 0 {
		t.Errorf("of another receipt: %v", found)
	}
	close(end)
	<-ended
	<-child
	if found := stacks.Of("lab-1"); len(found) > 0 {
		t.Errorf("after its end: %v", found)
	}
}

// The error of the work is Do's, and the labels end with the work.
func TestDo(t *testing.T) {
	err := stacks.Do(t.Context(), "s", "o", "lab-2", func(ctx context.Context) error {
		if receipt, ok := pprof.Label(ctx, "receipt"); !ok || receipt != "lab-2" {
			t.Errorf("the label receipt is %q", receipt)
		}
		return context.Canceled
	})
	if err != context.Canceled {
		t.Error(err)
	}
	if found := stacks.Of("lab-2"); len(found) > 0 {
		t.Errorf("after Do: %v", found)
	}
}

// forgotten waits for a channel that nobody else has.
func forgotten() { <-make(chan struct{}) }

// A planted leak is told from work that is late.
func TestLeak(t *testing.T) {
	if pprof.Lookup("goroutineleak") == nil {
		t.Skip("GOEXPERIMENT=goroutineleakprofile builds the profile in")
	}
	end := make(chan struct{})
	defer close(end)
	go func() {
		_ = stacks.Do(context.Background(), "s", "o", "lab-leak", func(context.Context) error { forgotten(); return nil })
	}()
	go func() {
		_ = stacks.Do(context.Background(), "s", "o", "lab-late", func(context.Context) error { late(end); return nil })
	}()
	backendtest.Eventually(t, "the planted leak is found", func() bool {
		s := of(t, "lab-leak", "stacks_test.forgotten")
		return s.Leaked != nil && *s.Leaked
	})
	if s := of(t, "lab-late", "stacks_test.late"); s.Leaked == nil || *s.Leaked {
		t.Error("late work counts as leaked")
	}
}
