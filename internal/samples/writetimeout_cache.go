package samples

import (
	"context"
	"net"
	"net/http"
	"time"

	"github.com/bradfitz/gomemcache/memcache"
)

// WriteTimeoutCache does not end the handler at the timeout: its context goes on
// (https://go.dev/issue/59602), and the client of a late handler gets a closed connection.
// Give gomemcache its Timeout too.
func WriteTimeoutCache(addr, key string, timeout time.Duration) *http.Server {
	slow := func(w http.ResponseWriter, r *http.Request) {
		client := memcache.New(addr)
		defer client.Close()
		client.Timeout = 24 * time.Hour // gomemcache's default is 500 ms
		client.DialContext = func(_ context.Context, network, addr string) (net.Conn, error) {
			conn, err := new(net.Dialer).DialContext(r.Context(), network, addr)
			if err == nil {
				context.AfterFunc(r.Context(), func() { conn.Close() })
			}
			return conn, err
		}
		item, err := client.Get(key)
		if err != nil {
			if r.Context().Err() == nil {
				http.Error(w, err.Error(), http.StatusBadGateway)
			}
			return
		}
		_, _ = w.Write(item.Value)
	}
	return &http.Server{Handler: http.HandlerFunc(slow), WriteTimeout: timeout}
}
