package lab

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"time"

	"gotimeout/handlers"
	httpbackend "gotimeout/internal/backends/http"
	"gotimeout/internal/badnet/private"
	"gotimeout/slowops"
)

// httpOp asks an httpbin by net/http.
type httpOp struct {
	HTTPURL string `name:"http-url" env:"HTTPBIN_URL" secret:"url" placeholder:"URL" help:"A real httpbin in the place of the embedded one, such as http://127.0.0.1:8080."`

	base *url.URL // nil for the embedded one
}

func (o *httpOp) Read(func(string) string) (notes []string, err error) {
	if o.HTTPURL == "" {
		return nil, nil
	}
	if o.base, err = readURL(o.HTTPURL); err != nil {
		return nil, fmt.Errorf("--http-url (HTTPBIN_URL) %w", err)
	}
	return nil, nil
}

// readURL reads a base URL. The error repeats no text that may be a secret: what
// url.URL.Redacted takes for a password is none where the scheme is missing.
func readURL(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	switch {
	case err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" && u.RawQuery == "":
		return u, nil
	case err != nil:
		return nil, errors.New("can't be read: write http://host:port")
	case strings.ContainsAny(text, "@?"):
		return nil, errors.New("is no base URL: write http://host:port, or http://user:password@host:port, with no query")
	}
	return nil, fmt.Errorf("is %q, which is no base URL: write http://host:port", text)
}

func (o *httpOp) server() *private.Server {
	if o.base == nil {
		return nil
	}
	port := o.base.Port()
	if port == "" {
		port = o.base.Scheme // by name
	}
	return &private.Server{Network: "tcp", Addr: net.JoinHostPort(o.base.Hostname(), port)}
}

func (o *httpOp) open(l *Lab) (handlers.Op, error) {
	b, err := l.backend("http", o.server(), httpbackend.Start)
	if err != nil {
		return handlers.Op{}, err
	}
	base := o.base
	if base == nil {
		base = &url.URL{Scheme: "http", Host: b.addr}
	} else {
		b.addr = base.Redacted()
	}
	targets, err := httpbackend.StartTargets(l.options())
	if err != nil {
		return handlers.Op{}, err
	}
	l.atClose(func() { _ = targets.Close() })
	client := slowops.NewHTTP(base.String(), 0)
	client.Via, client.Targets, client.Roots = b.via, targets.URLs, targets.Roots
	l.atClose(client.Close)
	b.do = client.Do
	op := handlers.Op{
		Name: b.name, Doc: "GET /delay/{seconds} of an httpbin.",
		Noun: "the HTTP server", Settle: 1300 * time.Millisecond, // the second of slowops, and the time until its timer has run
		Dials: true, Reports: bit(b.embedded != nil), Seen: b.embedded != nil,
		Backends: []string{"aware"}, TLS: base.Scheme == "https",
		Parts: []handlers.Part{b.do},
	}
	if b.embedded != nil {
		op.Backends = append(op.Backends, "deaf")
		b.working = func() []handlers.Job { return jobs(append(b.embedded.Working(), targets.Working()...)) }
	}
	for _, t := range targets.List {
		op.Targets = append(op.Targets, handlers.Target(t))
	}
	return op, nil
}
