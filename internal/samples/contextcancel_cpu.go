package samples

import (
	"context"
	"crypto/md5"
	"time"
)

// ContextCancelCPU stops at the timeout, because the loop checks ctx. A loop that does
// not check ctx is not stopped, and its caller waits for its end.
func ContextCancelCPU(ctx context.Context, rounds int, timeout time.Duration) (sum [md5.Size]byte, err error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	for i := range rounds {
		if i%1024 == 0 && ctx.Err() != nil { // a tenth of a millisecond apart
			return sum, ctx.Err()
		}
		sum = md5.Sum(sum[:])
	}
	return sum, nil
}
