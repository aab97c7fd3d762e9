package handlers

import (
	"crypto/subtle"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-chi/chi/v5/middleware"
	"github.com/go-chi/httprate"
)

// mayChange tells who may change the network: whoever has the token, or is on this
// machine, unless the lab is public.
func (l *Lab) mayChange(r *http.Request) error {
	if token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok {
		if l.Token != "" && subtle.ConstantTimeCompare([]byte(token), []byte(l.Token)) == 1 {
			return nil
		}
		return errors.New("that is not this lab's token: send the one that it was started with in GOTIMEOUT_TOKEN")
	}
	if l.Public {
		return errors.New("this lab is public, and so its network stays as it is: it is changed only with the header Authorization: Bearer and what the lab was started with in GOTIMEOUT_TOKEN")
	}
	if !fromHere(r) {
		return errors.New("the network is changed from this machine (http://127.0.0.1), or with the header Authorization: Bearer and what the lab was started with in GOTIMEOUT_TOKEN")
	}
	return nil
}

// fromHere tells whether a request comes from this machine: not by a proxy on
// it, nor from a page of another site in a browser on it.
func fromHere(r *http.Request) bool {
	for _, header := range []string{"Forwarded", "X-Forwarded-For", "X-Real-Ip", "Via"} {
		if len(r.Header.Values(header)) > 0 {
			return false
		}
	}
	return isLoopback(r.RemoteAddr) && isLoopback(r.Host) && http.NewCrossOriginProtection().Check(r) == nil
}

// isLoopback tells whether host, with a port or without, is this machine. A
// name may be anybody's, but for localhost (RFC 6761).
func isLoopback(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	ip := net.ParseIP(strings.Trim(host, "[]"))
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// A client of a public lab has a share of runs in each minute: two hundred of every
// strategy, which is twice what the largest race makes.
const shareOf = time.Minute

// limited refuses what a client of a public lab asks for beyond its share. What
// is no run counts as one, but for /healthz, which the platform asks.
func (l *Lab) limited(next http.Handler) http.Handler {
	share := 2 * maxTimes * len(l.Strategies)
	counted := httprate.LimitBy(share, shareOf, client, httprate.WithLimitHandler(func(w http.ResponseWriter, r *http.Request) {
		refuse(w, r, http.StatusTooManyRequests, "rate_limited", fmt.Sprintf(
			"this lab is public, and gives each client %d runs a minute: ask for fewer at once, or again in a minute", share))
	}))(next)
	var once sync.Once
	return l.fromClient(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/healthz" {
			next.ServeHTTP(w, r)
			return
		}
		if len(r.Header.Values("X-Forwarded-For")) > 0 && middleware.GetClientIP(r.Context()) == peer(r) {
			once.Do(func() {
				l.Log.Warn("X-Forwarded-For of one that --trusted-proxies doesn't name: if it is a proxy, all its clients share one limit", "peer", peer(r))
			})
		}
		counted.ServeHTTP(w, r.WithContext(httprate.WithIncrement(r.Context(), l.runs(r))))
	}))
}

// runs returns how many runs a request makes, at least 1.
func (l *Lab) runs(r *http.Request) int {
	switch r.URL.Path {
	case "/compare":
		return len(l.Strategies)
	case "/race":
		times, err := strconv.Atoi(r.URL.Query().Get("times"))
		if err != nil || times < 1 || times > maxTimes {
			times = 1 // or what is refused
		}
		return times * len(l.Strategies)
	}
	return 1
}

// fromClient puts the address of the client into the context: the last one of
// X-Forwarded-For that is none of the trusted proxies, or the peer's where that
// is none of them itself.
func (l *Lab) fromClient(next http.Handler) http.Handler {
	if len(l.TrustedProxies) == 0 {
		return middleware.ClientIPFromRemoteAddr(next)
	}
	trusted := make([]string, len(l.TrustedProxies))
	for i, p := range l.TrustedProxies {
		trusted[i] = p.String()
	}
	return middleware.ClientIPFromXFF(trusted...)(next)
}

// client is whose share a request is taken of: an address, or for IPv6, where a
// client has as many as it likes, its /64. A trusted proxy that names no client
// has a share of its own.
func client(r *http.Request) (string, error) {
	ip := middleware.GetClientIP(r.Context())
	if ip == "" {
		ip = peer(r)
	}
	return httprate.CanonicalizeIP(ip), nil
}

// peer is who opened the connection.
func peer(r *http.Request) string {
	host, _, _ := net.SplitHostPort(r.RemoteAddr)
	return host
}
