package samples

import (
	"io"
	"net/http"
)

// BaselineHTTP has no bound: http.DefaultClient has no timeout, so the caller waits as long as the
// server takes.
func BaselineHTTP(url string) ([]byte, error) {
	resp, err := http.Get(url)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	return io.ReadAll(resp.Body)
}
