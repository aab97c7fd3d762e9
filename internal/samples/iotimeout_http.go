package samples

import (
	"io"
	"net/http"
	"time"
)

// IOTimeoutHTTP uses the client's own timeout, which covers the dial, the headers and
// the body. Keep one client for the life of the program, because each has its own pool.
func IOTimeoutHTTP(url string, timeout time.Duration) ([]byte, error) {
	client := &http.Client{Timeout: timeout}
	resp, err := client.Get(url)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	return io.ReadAll(resp.Body)
}
