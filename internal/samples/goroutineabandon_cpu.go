package samples

import (
	"context"
	"crypto/md5"
	"time"
)

// GoroutineAbandonCPU answers on time. The computation goes on, and takes a processor
// from the calls that come after.
func GoroutineAbandonCPU(rounds int, timeout time.Duration) ([md5.Size]byte, error) {
	type result struct {
		sum [md5.Size]byte
		err error
	}
	done := make(chan result, 1) // without the buffer an abandoned goroutine never ends
	go func() {
		var r result
		for range rounds {
			r.sum = md5.Sum(r.sum[:])
		}
		done <- r
	}()
	select {
	case r := <-done:
		return r.sum, r.err
	case <-time.After(timeout):
		return [md5.Size]byte{}, context.DeadlineExceeded
	}
}
