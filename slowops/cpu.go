package slowops

import (
	"context"
	"crypto/md5"
	"time"
)

// CPU is the op cpu: it computes for the delay and never yields. An aware call checks its
// context every few microseconds, and a deaf call never does. The op has no I/O that an
// IOTimeout could bound.
type CPU struct{}

// Do computes. It returns the error of the context if that ended the call.
func (CPU) Do(ctx context.Context, c Call) error {
	end := time.Now().Add(c.Delay)
	sum := md5.Sum(nil)
	for time.Now().Before(end) {
		if !c.Deaf && ctx.Err() != nil {
			return ctx.Err()
		}
		for range 16 {
			sum = md5.Sum(sum[:])
		}
	}
	return nil
}
