package samples

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/redis/go-redis/v9"
)

// WriteTimeoutRedis does not end the handler at the timeout: its context goes on
// (https://go.dev/issue/59602), and so does the command. The client of a late handler gets a
// closed connection without a status.
func WriteTimeoutRedis(client *redis.Client, timeout time.Duration, command ...any) *http.Server {
	slow := func(w http.ResponseWriter, r *http.Request) {
		answer, err := client.Do(r.Context(), command...).Result()
		if err == nil || errors.Is(err, redis.Nil) {
			fmt.Fprintln(w, answer)
		} else if r.Context().Err() == nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
		}
	}
	return &http.Server{Handler: http.HandlerFunc(slow), WriteTimeout: timeout}
}
