package httpbackend

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"strings"
	"time"

	"gotimeout/internal/backends"
)

// answersH2 are the targets that speak HTTP/2: those whose fault is a stream's,
// while its connection lives. One that ends or is reset, and headers that come
// byte by byte, are no different from HTTP/1.1's.
var answersH2 = map[string]func(*streamH2){
	"ok-h2":     (*streamH2).ok,
	"silent-h2": (*streamH2).wait,
	"drip-h2":   (*streamH2).drip,
	"stall-h2":  (*streamH2).stall,
}

// streamH2 is one request to a target over HTTP/2.
type streamH2 struct {
	http.ResponseWriter
	gone  <-chan struct{} // the client or the server
	delay time.Duration
}

// serveH2 serves HTTP/2 until s is closed.
func serveH2(s *backends.Server, config *tls.Config, name string, o backends.Options, answer func(*streamH2)) {
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		delay, err := backends.ParseDelay(strings.TrimPrefix(r.URL.Path, "/delay/"), o.MaxDelay)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		end := s.Begin(r.Header.Get(runHeader), name+" "+r.URL.Path)
		defer end()
		answer(&streamH2{w, r.Context().Done(), delay})
	})
	server := &http.Server{
		Handler:           handler,
		TLSConfig:         config.Clone(),
		ReadHeaderTimeout: 10 * time.Second,
		ErrorLog:          log.New(io.Discard, "", 0),
	}
	s.Serve(func(l net.Listener) { _ = server.ServeTLS(l, "", "") })
}

func (x *streamH2) pause(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-x.gone:
		return false
	}
}

func (x *streamH2) send(text string) {
	_, _ = io.WriteString(x, text)
	x.ResponseWriter.(http.Flusher).Flush()
}

func (x *streamH2) wait() { x.pause(forEver) }

func (x *streamH2) ok() {
	if x.pause(x.delay) {
		x.send("ok\n")
	}
}

func (x *streamH2) drip() {
	for end := time.Now().Add(x.delay); time.Now().Before(end); {
		x.send(".")
		if !x.pause(dripEvery) {
			return
		}
	}
}

func (x *streamH2) stall() {
	x.send(half)
	x.wait()
}

// selfSigned makes a certificate for 127.0.0.1, and who trusts it.
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
