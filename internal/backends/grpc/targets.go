package grpcbackend

import (
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"time"

	"gotimeout/internal/backends"
)

// Targets are proxies in front of one gRPC server.
type Targets struct {
	List  []Target          // in the order of their names
	Addrs map[string]string // the address of each by its name

	servers []*backends.Server
}

// Target is one proxy of [Targets].
type Target struct {
	Name, Doc string // Doc is one sentence
	TLS       bool   // false: the proxies speak HTTP/2 without TLS
	Sound     bool   // passes on all that it gets
}

// proxies are the targets, in the order of their names. Each is the behaviour of a real hop:
// Envoy takes the header away where it enforces the timeout itself (https://github.com/envoyproxy/envoy/pull/15176), HAProxy did not
// pass a reset on (https://github.com/haproxy/haproxy/issues/172), and a service that calls on under context.WithoutCancel, or
// under context.Background, passes on neither.
var proxies = []struct {
	name, doc        string
	deadline, cancel bool // what the proxy passes on
}{
	{"proxy", "A proxy that passes the deadline and a cancel on.", true, true},
	{"proxy-detached", "A hop that calls the server under a context of its own: neither the deadline nor a cancel crosses.", false, false},
	{"proxy-no-cancel", "A proxy that passes on the deadline alone: a cancel before it changes nothing.", true, false},
	{"proxy-no-deadline", "A proxy that passes on a cancel alone: the server works on until the cancel arrives.", false, true},
}

// StartTargets starts the proxies in front of the server at an address.
func StartTargets(o backends.Options, backend string) (*Targets, error) {
	t := &Targets{Addrs: map[string]string{}}
	for _, p := range proxies {
		s, err := backends.Listen("target "+p.name, o)
		if err != nil {
			_ = t.Close()
			return nil, err
		}
		t.servers = append(t.servers, s)
		t.Addrs[p.name] = s.Addr
		t.List = append(t.List, Target{Name: p.name, Doc: p.doc, Sound: p.deadline && p.cancel})
		serve(s, backend, p.deadline, p.cancel)
	}
	return t, nil
}

// serve serves a reverse proxy of HTTP/2 without TLS.
func serve(s *backends.Server, backend string, deadline, cancel bool) {
	http2 := new(http.Protocols)
	http2.SetUnencryptedHTTP2(true)
	silent := log.New(io.Discard, "", 0)
	transport := &http.Transport{Protocols: http2, IdleConnTimeout: time.Second} // no connection that looks left behind
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(&url.URL{Scheme: "http", Host: backend})
			if !deadline {
				r.Out.Header.Del("Grpc-Timeout")
			}
			if !cancel {
				r.Out = r.Out.WithContext(s.Context())
			}
		},
		Transport: transport, ErrorLog: silent, // and no FlushInterval: it may send the headers of an answer before their END_STREAM
	}
	server := &http.Server{
		Handler: proxy, Protocols: http2, ErrorLog: silent,
		HTTP2: &http.HTTP2Config{MaxConcurrentStreams: 1 << 20}, // as grpc-go's server, which has no limit
	}
	s.Serve(func(l net.Listener) {
		_ = server.Serve(l)
		transport.CloseIdleConnections()
	})
}

// Close closes the proxies.
func (t *Targets) Close() (err error) {
	for _, s := range t.servers {
		if e := s.Close(); e != nil {
			err = e
		}
	}
	return err
}
