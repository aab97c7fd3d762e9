package samples

import (
	"context"
	"crypto/md5"
	"time"
)

// TimerPanicCPU is a timeout by exception in Go, as gevent has it for Python.
// It answers no sooner than context-cancel does, leaves the same behind, and throws a
// late result away.
func TimerPanicCPU(ctx context.Context, rounds int, timeout time.Duration) (sum [md5.Size]byte, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	timer := time.AfterFunc(timeout, func() { cancel(context.DeadlineExceeded) }) // a panic here would end the process
	defer timer.Stop()
	defer func() {
		if v := recover(); v == context.DeadlineExceeded {
			err = context.DeadlineExceeded
		} else if v != nil {
			panic(v)
		}
	}()
	for i := 0; i < rounds && (i%1024 != 0 || ctx.Err() == nil); i++ {
		sum = md5.Sum(sum[:])
	}
	if context.Cause(ctx) == context.DeadlineExceeded { // not inside the library, whose locks would stay held
		panic(context.DeadlineExceeded)
	}
	return sum, err
}
