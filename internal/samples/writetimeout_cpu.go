package samples

import (
	"crypto/md5"
	"fmt"
	"net/http"
	"time"
)

// WriteTimeoutCPU does not end the handler at the timeout: the loop looks at a context that goes
// on (https://go.dev/issue/59602). The client of a late handler gets a closed connection.
func WriteTimeoutCPU(rounds int, timeout time.Duration) *http.Server {
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
	return &http.Server{Handler: http.HandlerFunc(slow), WriteTimeout: timeout}
}
