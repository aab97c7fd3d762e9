package samples

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/go-chi/chi/v5/middleware"
	"github.com/redis/go-redis/v9"
)

// ChiTimeoutRedis gives the request's context the timeout, which bounds the command if the client has
// Options.ContextTimeoutEnabled. Without that the answer is late, and a 200.
func ChiTimeoutRedis(client *redis.Client, timeout time.Duration, command ...any) http.Handler {
	slow := func(w http.ResponseWriter, r *http.Request) {
		answer, err := client.Do(r.Context(), command...).Result()
		if err == nil || errors.Is(err, redis.Nil) {
			fmt.Fprintln(w, answer)
		} else if r.Context().Err() == nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
		}
	}
	return middleware.Timeout(timeout)(http.HandlerFunc(slow))
}
