package handlers

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-chi/chi/v5/middleware"
	"github.com/go-chi/httprate"
)

// sameSite refuses requests that a page of another site makes a browser send: a lab on
// localhost is open to every page that its user visits. The Host must be an address,
// localhost or one of l.Hosts, because an attacker's name may resolve to this machine
// (DNS rebinding). A request that a browser marks as another site's is refused unless it
// opens a page in a tab, which /race doesn't. Programs such as curl send no such marks.
// The health checks of a platform are answered for any Host.
func (l *Lab) sameSite(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/healthz" || r.URL.Path == "/readyz":
		case !l.knownHost(r.Host):
			refuse(w, r, http.StatusMisdirectedRequest, "unknown_host", fmt.Sprintf(
				"this lab does not answer for the host %.60q: use its address or localhost, or start it with --host %s", r.Host, hostName(r.Host)))
			return
		case fromOtherSite(r):
			refuse(w, r, http.StatusForbidden, "cross_site", "the request comes from a page of another site: open the lab's own page")
			return
		}
		next.ServeHTTP(w, r)
	})
}

func (l *Lab) knownHost(host string) bool {
	name := hostName(host)
	return l.Hosts == nil || name == "" || name == "localhost" || net.ParseIP(name) != nil ||
		slices.ContainsFunc(l.Hosts, func(known string) bool { return strings.EqualFold(known, name) })
}

// hostName is a Host without its port and the brackets of an IPv6 address.
func hostName(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		return name
	}
	return strings.Trim(host, "[]")
}

// fromOtherSite reports whether a browser sent the request for a page of another site.
// mayChange checks the requests that change something, because it also knows tokens.
func fromOtherSite(r *http.Request) bool {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return false
	}
	switch r.Header.Get("Sec-Fetch-Site") {
	case "same-origin", "none":
		return false
	case "": // no browser, or an old one
		origin, err := url.Parse(r.Header.Get("Origin"))
		return err != nil || r.Header.Get("Origin") != "" && origin.Host != r.Host
	}
	opensTab := r.Header.Get("Sec-Fetch-Mode") == "navigate" && r.Header.Get("Sec-Fetch-Dest") == "document"
	return !opensTab || r.URL.Path == "/race"
}

// mayChange returns nil for a caller who may change the network: one with the token,
// or one on this machine unless the lab is public.
func (l *Lab) mayChange(r *http.Request) error {
	// The name of the scheme may be written in any case (RFC 9110, section 11.1).
	if scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " "); strings.EqualFold(scheme, "Bearer") {
		if l.Token != "" && subtle.ConstantTimeCompare([]byte(token), []byte(l.Token)) == 1 {
			return nil
		}
		return errors.New("the token is wrong: send the value of GOTIMEOUT_TOKEN that the lab was started with")
	}
	if l.Public {
		return errors.New("this lab is public: its network is changed only with the header Authorization: Bearer and the value of GOTIMEOUT_TOKEN that the lab was started with")
	}
	if !fromThisMachine(r) {
		return errors.New("the network is changed from this machine (http://127.0.0.1), or with the header Authorization: Bearer and the value of GOTIMEOUT_TOKEN that the lab was started with")
	}
	return nil
}

// fromThisMachine reports whether a request comes from this machine: not through a
// proxy on it, and not from another site's page in a browser on it.
func fromThisMachine(r *http.Request) bool {
	for _, header := range []string{"Forwarded", "X-Forwarded-For", "X-Real-Ip", "Via"} {
		if len(r.Header.Values(header)) > 0 {
			return false
		}
	}
	return isLoopback(r.RemoteAddr) && isLoopback(r.Host) && http.NewCrossOriginProtection().Check(r) == nil
}

// isLoopback reports whether host, with a port or without, is this machine. The only name
// that is certain to be this machine is localhost (RFC 6761).
func isLoopback(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	ip := net.ParseIP(strings.Trim(host, "[]"))
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// A client of a public lab may start a number of runs a minute: two hundred of each
// strategy, twice as many as the largest race makes.
const shareEvery = time.Minute

// limitClients refuses requests of a client of a public lab beyond its share. A
// request that runs nothing counts as one run, but for /healthz, which the platform
// asks for, and for a receipt or a job, since its run has been counted.
func (l *Lab) limitClients(next http.Handler) http.Handler {
	share := 2 * maxTimes * len(l.Strategies)
	counted := httprate.LimitBy(share, shareEvery, client, httprate.WithLimitHandler(func(w http.ResponseWriter, r *http.Request) {
		refuse(w, r, http.StatusTooManyRequests, "rate_limited", fmt.Sprintf(
			"this lab is public and allows each client %d runs a minute: ask for fewer at once, or try again in a minute", share))
	}))(next)
	var once sync.Once
	return l.fromClient(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/healthz" {
			next.ServeHTTP(w, r)
			return
		}
		if len(r.Header.Values("X-Forwarded-For")) > 0 && middleware.GetClientIP(r.Context()) == peer(r) {
			once.Do(func() {
				l.Log.Warn("X-Forwarded-For comes from a peer that --trusted-proxies does not name: if the peer is a proxy, all its clients share one limit", "peer", peer(r))
			})
		}
		name, _ := client(r) // it has no error
		ctx := context.WithValue(r.Context(), clientKey{}, name)
		counted.ServeHTTP(w, r.WithContext(httprate.WithIncrement(ctx, l.runs(r))))
	}))
}

type clientKey struct{}

// clientOf returns the client whose share a request takes, "" in a lab that is not public.
func (l *Lab) clientOf(ctx context.Context) string {
	if !l.Public {
		return ""
	}
	name, _ := ctx.Value(clientKey{}).(string)
	return name
}

// runs returns how many runs a request counts as.
func (l *Lab) runs(r *http.Request) int {
	if strings.HasPrefix(r.URL.Path, "/receipts/") || strings.HasPrefix(r.URL.Path, "/jobs/") {
		return 0
	}
	switch r.URL.Path {
	case "/compare":
		return len(l.Strategies)
	case "/race":
		times, err := strconv.Atoi(r.URL.Query().Get("times"))
		if err != nil || times < 1 || times > maxTimes {
			times = 1 // the race will refuse another number
		}
		return times * len(l.Strategies)
	}
	return 1
}

// fromClient puts the address of the client into the context: the last address in
// X-Forwarded-For that is not a trusted proxy's, or the peer's if the peer is not a
// trusted proxy.
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

// client identifies the client whose share a request uses: by its address, or for IPv6 by
// its /64, because a client may use any address of it. A trusted proxy that names no client
// has a share of its own.
func client(r *http.Request) (string, error) {
	ip := middleware.GetClientIP(r.Context())
	if ip == "" {
		ip = peer(r)
	}
	return httprate.CanonicalizeIP(ip), nil
}

// peer returns the address from which the connection comes.
func peer(r *http.Request) string {
	host, _, _ := net.SplitHostPort(r.RemoteAddr)
	return host
}
