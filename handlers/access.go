package handlers

import (
	"crypto/subtle"
	"errors"
	"net"
	"net/http"
	"strings"
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
