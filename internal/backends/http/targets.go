package httpbackend

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"strings"
	"time"

	"gotimeout/internal/backends"
)

// Targets are HTTP servers with one fault each, for the timeouts of a call's phases. A GET of /delay/{duration} takes that long,
// except where the fault is that it never ends.
type Targets struct {
	// List has the targets that this system has, in the order of their names.
	List []Target
	// URLs has the base URL of each by its name.
	URLs map[string]string
	// Roots trusts Certificate, the certificate of the targets that speak TLS.
	Roots       *x509.CertPool `json:"-"`
	Certificate []byte

	servers []*backends.Server
	closes  []func()
}

// Target is one server of [Targets].
type Target struct {
	Name, Doc string // Doc is one sentence
	TLS       bool   // speaks TLS
	Sound     bool   // has no fault
}

// The pace of the targets.
const (
	// DripEvery is the time between two bytes of drip, and of a header of slow-headers.
	DripEvery = 20 * time.Millisecond
	slowTLS   = 5 * time.Second // from the dial until slow-tls starts its handshake
	forEver   = 24 * time.Hour  // longer than any client stays
)

// faults are the targets in the order of their names. Those with an http2 have a twin with "-h2" behind its name: HTTP/2 has the
// faults of a stream whose connection lives. A connection that ends or is reset, and headers that come byte by byte, are no
// different there.
var faults = []struct {
	name, doc    string
	http1, http2 func(*exchange)
}{
	{"blackhole", "Nobody answers a SYN: its accept queue is full.", nil, nil},
	{"drip", fmt.Sprintf("Sends the body, a byte every %s.", DripEvery), (*exchange).drip, (*exchange).drip},
	{"half-close", "Sends half the body, and says that it is all.", (*exchange).halfClose, nil},
	{"ok", "Answers as it should.", (*exchange).ok, (*exchange).ok},
	{"refused", "Nobody listens there.", nil, nil},
	{"reset", "Drops the connection when it is asked.", (*exchange).reset, nil},
	{"silent", "Takes the request, and sends nothing.", (*exchange).silent, (*exchange).silent},
	{"slow-headers", fmt.Sprintf("Sends a header, a byte every %s.", DripEvery), (*exchange).slowHeaders, nil},
	{"slow-tls", fmt.Sprintf("Starts its TLS handshake late, after at most %s.", slowTLS), (*exchange).ok, nil},
	{"stall", "Sends half the body, and then nothing.", (*exchange).stall, (*exchange).stall},
}

// StartTargets starts the targets. refused and blackhole are addresses where no server answers; only Linux has blackhole.
func StartTargets(o backends.Options) (t *Targets, err error) {
	t = &Targets{URLs: map[string]string{}}
	certificate, roots, err := selfSigned()
	if err != nil {
		return nil, fmt.Errorf("start targets: %w", err)
	}
	t.Roots, t.Certificate = roots, certificate.Certificate[0]
	secure := &tls.Config{Certificates: []tls.Certificate{certificate}}
	defer func() {
		if err != nil {
			_ = t.Close()
			t = nil
		}
	}()
	for _, f := range faults {
		switch f.name {
		case "refused":
			err = t.refuse()
		case "blackhole":
			err = t.blackhole()
		case "slow-tls":
			err = t.serve(f.name, "https", o, func(s *backends.Server) { serveSlowTLS(s, secure, o, f.http1) })
		default:
			err = t.serve(f.name, "http", o, func(s *backends.Server) {
				s.ServeEach(func(c net.Conn) { converse(s, f.name, o, c, f.http1) })
			})
		}
		if err != nil {
			return t, err
		}
		if t.URLs[f.name] != "" {
			t.List = append(t.List, Target{Name: f.name, Doc: f.doc, TLS: f.name == "slow-tls", Sound: f.name == "ok"})
		}
		if f.http2 == nil {
			continue
		}
		name := f.name + "-h2"
		if err := t.serve(name, "https", o, func(s *backends.Server) { serveHTTP2(s, secure, name, o, f.http2) }); err != nil {
			return t, err
		}
		t.List = append(t.List, Target{Name: name, Doc: f.doc + " Over HTTP/2.", TLS: true, Sound: f.name == "ok"})
	}
	return t, nil
}

// TargetsElsewhere returns the targets of another process, from their JSON. There is nothing to close.
func TargetsElsewhere(text []byte) (*Targets, error) {
	t := new(Targets)
	if err := json.Unmarshal(text, t); err != nil {
		return nil, fmt.Errorf("targets of another process: %w", err)
	}
	certificate, err := x509.ParseCertificate(t.Certificate)
	if err != nil {
		return nil, fmt.Errorf("targets of another process: %w", err)
	}
	t.Roots = x509.NewCertPool()
	t.Roots.AddCert(certificate)
	return t, nil
}

// serve starts one server, whose connections serve accepts in the background.
func (t *Targets) serve(name, scheme string, o backends.Options, serve func(*backends.Server)) error {
	s, err := backends.Listen("target "+name, o)
	if err != nil {
		return err
	}
	t.servers = append(t.servers, s)
	t.URLs[name] = scheme + "://" + s.Addr
	serve(s)
	return nil
}

// refuse takes a port where nobody listens, and nobody will: the near end of a connection has the port. A port that was closed
// might be given to the next program that asks for any.
func (t *Targets) refuse() error {
	held, err := net.Dial("tcp", t.servers[0].Addr)
	if err != nil {
		return fmt.Errorf("start target refused: %w", err)
	}
	t.closes = append(t.closes, func() { _ = held.Close() })
	t.URLs["refused"] = "http://" + held.LocalAddr().String()
	return nil
}

func (t *Targets) blackhole() error {
	addr, end, err := blackhole()
	if err != nil {
		return fmt.Errorf("start target blackhole: %w", err)
	}
	if addr != "" {
		t.closes = append(t.closes, end)
		t.URLs["blackhole"] = "http://" + addr
	}
	return nil
}

// Working returns what the targets are working on.
func (t *Targets) Working() (jobs []backends.Job) {
	for _, s := range t.servers {
		jobs = append(jobs, s.Working()...)
	}
	return jobs
}

// Close closes the targets and returns when nothing of them goes on.
func (t *Targets) Close() (err error) {
	for _, end := range t.closes {
		end()
	}
	for _, s := range t.servers {
		if e := s.Close(); e != nil {
			err = e
		}
	}
	return err
}

// selfSigned makes a certificate for 127.0.0.1, and a pool that trusts it.
func selfSigned() (tls.Certificate, *x509.CertPool, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore:    time.Now().Add(-24 * time.Hour),
		NotAfter:     time.Now().Add(10 * 365 * 24 * time.Hour),
		IsCA:         true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return tls.Certificate{}, nil, err
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return tls.Certificate{}, nil, err
	}
	roots := x509.NewCertPool()
	roots.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, roots, nil
}

// exchange is one request to a target.
type exchange struct {
	delay time.Duration
	body  io.Writer
	head  func(length int)           // writes the headers of an answer, with no length where that is negative
	pause func(d time.Duration) bool // returns false when the client has left, or the server is closed
	conn  net.Conn                   // over HTTP/1.1: where tcp's own faults, and raw headers, are written
	tcp   net.Conn                   // beneath conn
}

// converse reads a request of HTTP/1.1, answers it and closes the connection: a target's fault is that of a connection, so each
// connection has one request. The answer is written by hand: net/http's server doesn't stop in the middle of a header.
func converse(s *backends.Server, name string, o backends.Options, nc net.Conn, answer func(*exchange)) {
	client := backends.NewClient(nc)
	request, err := http.ReadRequest(client.Reader)
	if err != nil {
		return
	}
	x := &exchange{body: client, conn: client, tcp: nc}
	x.head = func(length int) {
		fmt.Fprint(client, "HTTP/1.1 200 OK\r\nConnection: close\r\n")
		if length >= 0 {
			fmt.Fprintf(client, "Content-Length: %d\r\n", length)
		}
		fmt.Fprint(client, "\r\n")
	}
	x.pause = func(d time.Duration) bool { return client.Stay(s.Context(), time.Now().Add(d)) == nil }
	if x.delay, err = backends.ParseDelay(strings.TrimPrefix(request.URL.Path, "/delay/"), o.MaxDelay); err != nil {
		fmt.Fprintf(client, "HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s", len(err.Error()), err)
		return
	}
	end := s.Begin(request.Header.Get(runHeader), name+" "+request.URL.Path)
	defer end()
	answer(x)
}

// serveSlowTLS answers as converse does, but lets each client wait for its TLS handshake.
func serveSlowTLS(s *backends.Server, config *tls.Config, o backends.Options, answer func(*exchange)) {
	s.ServeEach(func(c net.Conn) {
		client := backends.NewClient(c)
		if client.Stay(s.Context(), time.Now().Add(min(slowTLS, o.MaxDelay))) == nil {
			converse(s, "slow-tls", o, tls.Server(client, config), answer)
		}
	})
}

// serveHTTP2 serves HTTP/2 over TLS.
func serveHTTP2(s *backends.Server, config *tls.Config, name string, o backends.Options, answer func(*exchange)) {
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		delay, err := backends.ParseDelay(strings.TrimPrefix(r.URL.Path, "/delay/"), o.MaxDelay)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		end := s.Begin(r.Header.Get(runHeader), name+" "+r.URL.Path)
		defer end()
		answer(&exchange{
			delay: delay,
			body:  flushed{w},
			head:  func(int) {}, // by net/http's server
			pause: func(d time.Duration) bool { return backends.Pause(r.Context(), d) == nil },
		})
	})
	server := &http.Server{
		Handler:           handler,
		TLSConfig:         config.Clone(),
		ReadHeaderTimeout: 10 * time.Second,
		ErrorLog:          log.New(io.Discard, "", 0),
	}
	s.Serve(func(l net.Listener) { _ = server.ServeTLS(l, "", "") })
}

// flushed sends at once what is written to it.
type flushed struct{ http.ResponseWriter }

func (f flushed) Write(p []byte) (int, error) {
	n, err := f.ResponseWriter.Write(p)
	if err == nil {
		err = http.NewResponseController(f.ResponseWriter).Flush()
	}
	return n, err
}

func (x *exchange) silent() { x.pause(forEver) }

func (x *exchange) ok() {
	if x.pause(x.delay) {
		x.head(len("ok\n"))
		fmt.Fprint(x.body, "ok\n")
	}
}

// slowHeaders sends bytes of a header until the delay is over.
func (x *exchange) slowHeaders() {
	fmt.Fprint(x.conn, "HTTP/1.1 200 OK\r\nConnection: close\r\nX-Slow: ")
	if x.trickle("s") {
		fmt.Fprint(x.conn, "\r\nContent-Length: 3\r\n\r\nok\n")
	}
}

// drip sends bytes of the body until the delay is over. The end of the connection, or of the stream, is the end of the body.
func (x *exchange) drip() {
	x.head(-1)
	x.trickle(".")
}

func (x *exchange) trickle(char string) (all bool) {
	for end := time.Now().Add(x.delay); time.Now().Before(end); {
		if _, err := fmt.Fprint(x.body, char); err != nil || !x.pause(DripEvery) {
			return false
		}
	}
	return true
}

// half is the part of the body that stall and half-close send.
const half = "half of the body"

func (x *exchange) stall() {
	x.head(2 * len(half))
	fmt.Fprint(x.body, half)
	x.pause(forEver)
}

// halfClose sends half the body and a FIN, and stays.
func (x *exchange) halfClose() {
	x.head(2 * len(half))
	fmt.Fprint(x.body, half)
	if c, ok := x.tcp.(interface{ CloseWrite() error }); ok && c.CloseWrite() == nil {
		x.pause(forEver)
	}
}

// reset closes the connection with an RST, as a machine does that does not know the connection.
func (x *exchange) reset() {
	if c, ok := x.tcp.(interface{ SetLinger(int) error }); ok {
		_ = c.SetLinger(0)
	}
	_ = x.tcp.Close()
}
