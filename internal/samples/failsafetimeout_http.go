package samples

import (
	"context"
	"io"
	"net/http"
	"time"

	"github.com/failsafe-go/failsafe-go"
	"github.com/failsafe-go/failsafe-go/timeout"
)

// FailsafeTimeoutHTTP returns timeout.ErrExceeded at the timeout, because the call has the
// context of the execution. The policy is cooperative: around a call without that context it
// returns ErrExceeded when the call ends, and the result is lost.
func FailsafeTimeoutHTTP(ctx context.Context, url string, limit time.Duration) ([]byte, error) {
	bounded := failsafe.With(timeout.New[[]byte](limit)).WithContext(ctx)
	return bounded.GetWithExecution(func(e failsafe.Execution[[]byte]) ([]byte, error) {
		req, err := http.NewRequestWithContext(e.Context(), http.MethodGet, url, nil)
		if err != nil {
			return nil, err
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return nil, err
		}
		defer resp.Body.Close()
		return io.ReadAll(resp.Body)
	})
}
