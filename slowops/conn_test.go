package slowops_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
)

func TestConnectionHooks(t *testing.T) {
	everywhere(t, anyPooled, realPooled, func(t *testing.T, s subject) {
		for i, want := range [][3]int32{{1, 0, 0}, {0, 1, 0}, {0, 1, 0}} {
			told := new(hooks)
			if err := s.do(t.Context(), told.on(s.call(fmt.Sprint("call-", i), 0))); err != nil {
				t.Fatal(err)
			}
			told.want(t, want[0], want[1], want[2])
		}
	})
}

func TestCancelClosesTheConnection(t *testing.T) {
	everywhere(t, slow(anyPooled), slow(realPooled), func(t *testing.T, s subject) {
		ctx, cancel := context.WithTimeout(t.Context(), 2*short)
		defer cancel()
		cancelled, next := new(hooks), new(hooks)
		if err := s.do(ctx, cancelled.on(s.call("cancelled", s.far()))); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(err)
		}
		eventually(t, "Closed", func() bool { return cancelled.closed.Load() == 1 })
		if err := s.do(t.Context(), next.on(s.call("next", 0))); err != nil {
			t.Fatal(err)
		}
		cancelled.want(t, 1, 0, 1)
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
	everywhere(t, anyPooled, realPooled, func(t *testing.T, s subject) {
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
			eventually(t, "two idle connections", func() bool { return s.relay.openNow() == 2 })
			if most := s.relay.openAtMost(); name != "cache" && most != 2 {
				t.Errorf("%d connections at once", most)
			}
		})
	}
}
