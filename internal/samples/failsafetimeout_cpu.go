package samples

import (
	"context"
	"crypto/md5"
	"time"

	"github.com/failsafe-go/failsafe-go"
	"github.com/failsafe-go/failsafe-go/timeout"
)

// FailsafeTimeoutCPU stops at the timeout, because the loop checks the context of the execution.
// The policy starts no goroutine: around a loop that checks nothing it waits for the end.
func FailsafeTimeoutCPU(ctx context.Context, rounds int, limit time.Duration) (sum [md5.Size]byte, err error) {
	bounded := failsafe.With(timeout.New[[md5.Size]byte](limit)).WithContext(ctx)
	return bounded.GetWithExecution(func(e failsafe.Execution[[md5.Size]byte]) ([md5.Size]byte, error) {
		for i := range rounds {
			if i%1024 == 0 && e.Context().Err() != nil { // a tenth of a millisecond apart
				return sum, e.Context().Err()
			}
			sum = md5.Sum(sum[:])
		}
		return sum, nil
	})
}
