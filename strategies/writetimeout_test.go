package strategies_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"gotimeout/strategies"
)

// The strategy's connection is in memory. Over TCP a server with a WriteTimeout does the same.
func TestWriteTimeoutAsOverTCP(t *testing.T) {
	for name, c := range map[string]struct {
		timeout, work time.Duration
		answered      bool
	}{"late": {10 * time.Millisecond, 200 * time.Millisecond, false}, "in time": {time.Hour, 0, true}} {
		t.Run(name, func(t *testing.T) {
			cancelled := make(chan error, 1)
			work := func(ctx context.Context) error {
				<-time.After(c.work)
				cancelled <- ctx.Err()
				return nil
			}
			check := func(where string, err error) {
				if cancelled := <-cancelled; (err == nil) != c.answered || cancelled != nil {
					t.Errorf("%s: %v, and the handler's context has the error %v", where, err, cancelled)
				}
			}
			err := strategies.WriteTimeout{}.Do(t.Context(), c.timeout, work)
			if check("in memory", err); !c.answered && !errors.Is(err, strategies.ErrTimeout) {
				t.Errorf("%v is no timeout", err)
			}
			server := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { _ = work(r.Context()) }))
			server.Config.WriteTimeout = c.timeout
			server.Start()
			defer server.Close()
			answer, err := server.Client().Get(server.URL)
			if err == nil {
				answer.Body.Close()
			}
			check("over TCP", err)
		})
	}
}
