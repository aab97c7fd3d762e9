package slowops

import (
	"context"
	"crypto/md5"
	"time"
)

// CPU is the op cpu: it computes for the delay and never yields. Aware, it
// looks at its context every few microseconds; deaf, it doesn't. It has no I/O,
// so an IOTimeout has nothing to bound.
type CPU struct{}

// Do computes.
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
