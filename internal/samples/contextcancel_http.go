package samples

import (
	"context"
	"io"
	"net/http"
	"time"
)

// ContextCancelHTTP closes the connection at the timeout: nothing runs on here, and the
// server can see that its client has left. The next call has to dial.
func ContextCancelHTTP(ctx context.Context, url string, timeout time.Duration) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel() // after the body is read, because cancel ends the read too
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	return io.ReadAll(resp.Body)
}
