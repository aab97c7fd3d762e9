package samples

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/redis/go-redis/v9"
)

// TimeoutHandlerRedis answers 503 at the timeout. The handler's goroutine and its connection end then
// too if the client has Options.ContextTimeoutEnabled, and else with the command.
func TimeoutHandlerRedis(client *redis.Client, timeout time.Duration, command ...any) http.Handler {
	slow := func(w http.ResponseWriter, r *http.Request) {
		answer, err := client.Do(r.Context(), command...).Result()
		if err == nil || errors.Is(err, redis.Nil) {
			fmt.Fprintln(w, answer)
		} else if r.Context().Err() == nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
		}
	}
	return http.TimeoutHandler(http.HandlerFunc(slow), timeout, "no answer in time")
}
