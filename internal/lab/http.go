package lab

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"gotimeout/handlers"
	httpbackend "gotimeout/internal/backends/http"
	"gotimeout/internal/badnet/private"
	"gotimeout/slowops"
	"gotimeout/strategies"

	"golang.org/x/net/http/httpguts"
)

// httpOp asks an httpbin by net/http, or makes an own request.
type httpOp struct {
	HTTPURL       string   `name:"http-url" env:"HTTPBIN_URL" secret:"url" placeholder:"URL" help:"A real httpbin in the place of the embedded one, such as http://127.0.0.1:8080."`
	HTTPRequest   string   `name:"http-request" env:"GOTIMEOUT_HTTP_REQUEST" secret:"url" placeholder:"URL" help:"Your own call as the op http: this URL with its path and query, the body of the answer read to its end."`
	HTTPMethod    string   `name:"http-method" env:"GOTIMEOUT_HTTP_METHOD" placeholder:"METHOD" help:"The method of --http-request (default: GET, or POST with a body)."`
	HTTPHeader    []string `name:"http-header" env:"GOTIMEOUT_HTTP_HEADER" placeholder:"'NAME: VALUE'" sep:"none" secret:"" help:"A header of --http-request. Repeat the flag for several headers; in the environment each is a line."`
	HTTPBody      string   `name:"http-body" env:"GOTIMEOUT_HTTP_BODY" placeholder:"@FILE" secret:"" help:"The body of --http-request: the content of a file, or without the @ this text."`
	HTTPExpect    string   `name:"http-expect" env:"GOTIMEOUT_HTTP_EXPECT" placeholder:"STATUS,..." help:"The statuses of --http-request that are no failure, such as 200,3xx (default: all below 500)."`
	HTTPRedirects bool     `name:"http-redirects" env:"GOTIMEOUT_HTTP_REDIRECTS" help:"Let --http-request follow redirects to other servers, which get its headers too. Without the flag it follows redirects to its own server."`

	base   *url.URL      // the URL of the real server; nil is the embedded server
	own    *http.Request // nil without --http-request
	expect func(status int) bool
}

func (o *httpOp) Read(func(string) string) (notes []string, err error) {
	switch {
	case o.HTTPRequest != "" && o.HTTPURL != "":
		return nil, errors.New("--http-request (GOTIMEOUT_HTTP_REQUEST) and --http-url (HTTPBIN_URL) are two servers for one op: leave one of them out")
	case o.HTTPRequest != "":
		return nil, o.readRequest()
	case o.HTTPURL != "":
		if o.base, err = readURL(o.HTTPURL); err != nil {
			return nil, fmt.Errorf("--http-url (HTTPBIN_URL) %w", err)
		}
	}
	for _, flag := range []struct {
		name  string
		given bool
	}{
		{"--http-method (GOTIMEOUT_HTTP_METHOD)", o.HTTPMethod != ""}, {"--http-header (GOTIMEOUT_HTTP_HEADER)", len(o.HTTPHeader) > 0},
		{"--http-body (GOTIMEOUT_HTTP_BODY)", o.HTTPBody != ""}, {"--http-expect (GOTIMEOUT_HTTP_EXPECT)", o.HTTPExpect != ""},
		{"--http-redirects (GOTIMEOUT_HTTP_REDIRECTS)", o.HTTPRedirects},
	} {
		if flag.given {
			return nil, errors.New(flag.name + " is of an own request, and there is none: give its URL by --http-request")
		}
	}
	return nil, nil
}

// readRequest reads the own request. Its errors quote nothing that may be secret.
func (o *httpOp) readRequest() error {
	u, err := url.Parse(o.HTTPRequest)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" {
		return errors.New("--http-request (GOTIMEOUT_HTTP_REQUEST) can't be read: write http://host:port/path?query, special characters as %XX")
	}
	body, err := textOrFile(o.HTTPBody)
	if err != nil {
		return fmt.Errorf("--http-body (GOTIMEOUT_HTTP_BODY) can't be read: %w", err)
	}
	method := cmp.Or(o.HTTPMethod, http.MethodGet)
	if o.HTTPBody != "" {
		method = cmp.Or(o.HTTPMethod, http.MethodPost)
	}
	if o.own, err = http.NewRequest(method, o.HTTPRequest, bytes.NewReader(body)); err != nil {
		return errors.New("--http-method (GOTIMEOUT_HTTP_METHOD) is no method: write GET, POST or another one")
	}
	for text := range strings.Lines(strings.Join(o.HTTPHeader, "\n")) {
		name, value, there := strings.Cut(text, ":")
		value = strings.TrimSpace(value)
		switch {
		case !there || !httpguts.ValidHeaderFieldName(name) || !httpguts.ValidHeaderFieldValue(value):
			return errors.New("--http-header (GOTIMEOUT_HTTP_HEADER) has a header that can't be read: write 'Name: value'")
		case strings.EqualFold(name, "Host"):
			o.own.Host = value
		default:
			o.own.Header.Add(name, value)
		}
	}
	if o.HTTPExpect != "" {
		if o.expect, err = readStatuses(o.HTTPExpect); err != nil {
			return fmt.Errorf("--http-expect (GOTIMEOUT_HTTP_EXPECT) %w", err)
		}
	}
	o.base = &url.URL{Scheme: u.Scheme, Host: u.Host}
	return nil
}

// readStatuses reads statuses, such as 200,3xx.
func readStatuses(text string) (expect func(int) bool, err error) {
	all, status := strings.Split(text, ","), regexp.MustCompile(`^[1-5](\d\d|xx)$`)
	for _, one := range all {
		if !status.MatchString(one) {
			return nil, fmt.Errorf("has %.20q, which is no status: write 200, 2xx, or several with commas", one)
		}
	}
	return func(status int) bool {
		text := strconv.Itoa(status)
		return slices.Contains(all, text) || slices.Contains(all, text[:1]+"xx")
	}, nil
}

func (o *httpOp) ownName() string {
	if o.own == nil {
		return ""
	}
	return o.own.Method + " " + o.own.URL.Host + o.own.URL.EscapedPath()
}

// readURL reads a base URL. The error quotes no text that may be secret:
// url.URL.Redacted doesn't find the password of a URL without a scheme.
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

func (o *httpOp) noNetwork() error {
	if !o.HTTPRedirects {
		return nil
	}
	return errors.New("--http-redirects (GOTIMEOUT_HTTP_REDIRECTS) can't be had with --network, which carries to the server of --http-request alone: leave one of them out")
}

func (o *httpOp) server() *private.Server {
	if o.base == nil {
		return nil
	}
	port := o.base.Port()
	if port == "" {
		port = o.base.Scheme // the name of the port
	}
	return &private.Server{Network: "tcp", Addr: net.JoinHostPort(o.base.Hostname(), port)}
}

// nextHop is what the client of an own request connects to.
func (o *httpOp) nextHop(b *backend) string {
	proxy, err := http.ProxyFromEnvironment(o.own)
	if b.via != "" || err != nil || proxy == nil {
		return b.dialed
	}
	return net.JoinHostPort(proxy.Hostname(), cmp.Or(proxy.Port(), proxy.Scheme))
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
	client := slowops.NewHTTP(base.String(), 0)
	client.Via = b.via
	client.Request, client.Expect, client.Redirects = o.own, o.expect, o.HTTPRedirects
	l.pool(b, client)
	b.do = client.Do
	op := handlers.Op{
		Name: b.name, Doc: "GET /delay/{seconds} of an httpbin.",
		Settings: map[strategies.Family]string{
			strategies.AroundCall:   "http.NewRequestWithContext",
			strategies.InsideClient: "http.Client.Timeout",
		},
		Noun: "the HTTP server", Settle: 1300 * time.Millisecond, // the second of slowops, and the time until its timer has run
		Dials: true, Reports: bit(b.embedded != nil), Seen: b.embedded != nil,
		Backends: []string{"aware"}, TLS: base.Scheme == "https",
		Parts: []handlers.Part{b.do},
	}
	if o.own != nil {
		b.health = connects("tcp", o.nextHop(b))
		l.makeOwn(&op, o.ownName())
		return op, nil
	}
	targets, err := o.targets(l, b)
	if err != nil {
		return handlers.Op{}, err
	}
	client.Targets, client.Roots = targets.URLs, targets.Roots
	if b.embedded != nil {
		op.Backends = append(op.Backends, "deaf")
		b.working = func() []handlers.Job { return jobsOf(append(b.embedded.Working(), targets.Working()...)) }
	}
	for _, t := range targets.List {
		op.Targets = append(op.Targets, handlers.Target(t))
	}
	return op, nil
}

// targets starts the targets. A child has those of its parent.
func (o *httpOp) targets(l *Lab, b *backend) (*httpbackend.Targets, error) {
	if l.isChild() {
		return httpbackend.TargetsElsewhere(b.given)
	}
	targets, err := httpbackend.StartTargets(l.options())
	if err != nil {
		return nil, err
	}
	l.atClose(func() { _ = targets.Close() })
	b.extra = func() any { return targets }
	return targets, nil
}
