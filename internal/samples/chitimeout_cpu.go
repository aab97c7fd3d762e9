package samples

import (
	"crypto/md5"
	"fmt"
	"net/http"
	"time"

	"github.com/go-chi/chi/v5/middleware"
)

// ChiTimeoutCPU gives the request's context the timeout. Only the loop's own look at the
// context ends it: chi waits for the handler.
func ChiTimeoutCPU(rounds int, timeout time.Duration) http.Handler {
	slow := func(w http.ResponseWriter, r *http.Request) {
		var sum [md5.Size]byte
		for i := range rounds {
			if i%1024 == 0 && r.Context().Err() != nil { // a tenth of a millisecond apart
				return
			}
			sum = md5.Sum(sum[:])
		}
		fmt.Fprintf(w, "%x\n", sum)
	}
	return middleware.Timeout(timeout)(http.HandlerFunc(slow))
}
