package samples

import (
	"context"
	"net/http"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"
)

// OffloadRedis answers 202 as soon as a stream has stored the call, and the timeout bounds that
// alone. A worker consumes the stream, calls BaselineRedis, writes the end where /jobs/ID reads
// it, and acks last: a worker that dies before it has the job made again, so the call must bear
// to be made twice. Give the stream a bound of messages that refuses new ones.
func OffloadRedis(js jetstream.JetStream, key string, timeout time.Duration) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), timeout)
		defer cancel()
		id := nuid.Next()
		if _, err := js.Publish(ctx, "jobs.redis."+id, []byte(key)); err != nil {
			w.Header().Set("Retry-After", "1")
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		w.Header().Set("Location", "/jobs/"+id)
		w.WriteHeader(http.StatusAccepted)
	})
}
