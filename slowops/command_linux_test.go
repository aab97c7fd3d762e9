package slowops_test

import (
	"runtime"
	"sync"
	"testing"
	"time"

	"gotimeout/slowops"
)

// A program outlives the threads that end while it runs.
func TestCommandOutlivesThreads(t *testing.T) {
	t.Parallel()
	var all sync.WaitGroup
	for range 80 {
		all.Go(func() {
			if err := shell("sleep 0.3").Do(t.Context(), slowops.Call{}); err != nil {
				t.Error(err)
			}
		})
	}
	for end := time.Now().Add(6 * short); time.Now().Before(end); time.Sleep(short / 100) {
		all.Go(runtime.LockOSThread) // never unlocked: the thread ends with the goroutine
	}
	all.Wait()
}
