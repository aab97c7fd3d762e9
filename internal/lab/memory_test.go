package lab_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"gotimeout/internal/lab"
)

// The memory of a load is the system's again some seconds after the load, and so is that of goroutines that end later.
func TestMemoryIsGivenBack(t *testing.T) {
	const load = 64 << 20
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go lab.GiveMemoryBack(ctx)
		left := make(chan struct{})
		for range 100 {
			part := make([]byte, load/100)
			go func() {
				<-left
				part[0]++
			}()
		}
		for step, most := range []uint64{lab.MemoryHeld() + load/2, lab.MemoryHeld() - load/2} {
			if step == 0 {
				garbage(load)
			} else {
				close(left)
			}
			time.Sleep(3 * lab.MemoryEvery)
			synctest.Wait()
			if held := lab.MemoryHeld(); held > most {
				t.Errorf("step %d: the process has %d MB, want %d MB at most", step, held>>20, most>>20)
			}
		}
	})
}

// garbage allocates bytes and drops them.
//
//go:noinline
func garbage(bytes int) {
	all := make([][]byte, 64)
	for i := range all {
		all[i] = make([]byte, bytes/len(all))
	}
	all[0][0]++
}
