package samples

import (
	"io"
	"net/http"
)

// BaselineHTTP has no bound: http.DefaultClient has no timeout, so the caller waits for as long as the
// server does.
func BaselineHTTP(url string) ([]byte, error) {
	resp, err := http.Get(url)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	return io.ReadAll(resp.Body)
}
