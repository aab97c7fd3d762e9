package samples

import (
	"context"
	"net"
	"net/http"
	"time"

	"github.com/bradfitz/gomemcache/memcache"
	"github.com/go-chi/chi/v5/middleware"
)

// ChiTimeoutCache gives the request's context the timeout. gomemcache takes no context
// (https://github.com/bradfitz/gomemcache/pull/126), so the connection is closed at its end;
// without that the handler would answer 200, late.
func ChiTimeoutCache(addr, key string, timeout time.Duration) http.Handler {
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
	return middleware.Timeout(timeout)(http.HandlerFunc(slow))
}
