package samples

import (
	"crypto/md5"
	"fmt"
	"net/http"
	"time"
)

// TimeoutHandlerCPU answers 503 at the timeout. Without its look at the context the loop would
// run on, on a goroutine that nobody waits for, and take a processor from the others.
func TimeoutHandlerCPU(rounds int, timeout time.Duration) http.Handler {
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
	return http.TimeoutHandler(http.HandlerFunc(slow), timeout, "no answer in time")
}
