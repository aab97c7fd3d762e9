package samples

import (
	"context"
	"io"
	"net/http"
	"time"

	"golang.org/x/sync/errgroup"
)

// ErrgroupHTTP answers when the last call has returned: the first error cancels the
// others, and one that ignores ctx makes the answer late. errgroup has no timeout.
func ErrgroupHTTP(ctx context.Context, timeout time.Duration, urls ...string) ([][]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	results := make([][]byte, len(urls))
	g, ctx := errgroup.WithContext(ctx) // for the group alone: this ctx is done after Wait
	for i, url := range urls {
		g.Go(func() error {
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
			if err != nil {
				return err
			}
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				return err
			}
			defer resp.Body.Close()
			results[i], err = io.ReadAll(resp.Body)
			return err
		})
	}
	return results, g.Wait()
}
