package slowops_test

import (
	"context"
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
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	cachebackend "gotimeout/internal/backends/cache"
	dbbackend "gotimeout/internal/backends/db"
	"gotimeout/slowops"
)

// serve calls each for every connection to addr, on a goroutine of its own, and then
// closes the connection. The end of the test closes all connections.
func serve(t *testing.T, each func(net.Conn)) (addr string) {
	t.Helper()
	listener := listen(t)
	var (
		mu      sync.Mutex
		open    = map[net.Conn]bool{}
		running sync.WaitGroup
	)
	handle := func(c net.Conn) {
		each(c)
		c.Close()
		mu.Lock()
		defer mu.Unlock()
		delete(open, c)
	}
	running.Go(func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			open[c] = true
			mu.Unlock()
			running.Go(func() { handle(c) })
		}
	})
	t.Cleanup(func() {
		listener.Close()
		mu.Lock()
		for c := range open {
			c.Close()
		}
		mu.Unlock()
		running.Wait()
	})
	return listener.Addr().String()
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return listener
}

// down returns an address where nobody listens, and nobody will: the near end of a connection has the port.
func down(t *testing.T) string {
	t.Helper()
	listener := listen(t)
	t.Cleanup(func() { listener.Close() })
	held, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { held.Close() })
	return held.LocalAddr().String()
}

// relay passes connections on to a server, unchanged, and counts them as the
// server would.
type relay struct {
	addr string

	mu                       sync.Mutex
	accepted, open, mostOpen int
}

func startRelay(t *testing.T, to string) *relay {
	t.Helper()
	r := new(relay)
	r.addr = serve(t, func(client net.Conn) {
		r.count(1)
		defer r.count(-1)
		pass(client, to)
	})
	return r
}

// pass copies both ways until either side ends the connection.
func pass(client net.Conn, to string) {
	server, err := net.Dial("tcp", to)
	if err != nil {
		return
	}
	back := make(chan struct{})
	go func() {
		defer close(back)
		_, _ = io.Copy(client, server)
		client.Close()
	}()
	_, _ = io.Copy(server, client)
	server.Close()
	<-back
}

func (r *relay) count(change int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if change > 0 {
		r.accepted++
	}
	r.open += change
	r.mostOpen = max(r.mostOpen, r.open)
}

// acceptedSoFar, openNow and openAtMost count connections.
func (r *relay) acceptedSoFar() int { return r.look(&r.accepted) }
func (r *relay) openNow() int       { return r.look(&r.open) }
func (r *relay) openAtMost() int    { return r.look(&r.mostOpen) }

func (r *relay) look(n *int) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return *n
}

// elsewhere is a name that no resolver knows.
const elsewhere = "backend.invalid"

// certificate returns a certificate for elsewhere, and a pool that trusts it.
func certificate(t *testing.T) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{elsewhere},
		NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}

// The Host header and TLS name the server, though another address is dialed.
func TestHTTPVia(t *testing.T) {
	cert, pool := certificate(t)
	asked := make(chan string, 1)
	web := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { asked <- r.Host }))
	web.Config.ErrorLog = log.New(io.Discard, "", 0)
	web.TLS = &tls.Config{Certificates: []tls.Certificate{cert}}
	web.StartTLS()
	defer web.Close()
	op := slowops.NewHTTP("https://"+elsewhere, 0)
	defer op.Close()
	op.Via = web.Listener.Addr().String()
	op.Trust(pool)
	if err := op.Do(t.Context(), slowops.Call{}); err != nil {
		t.Fatal(err)
	}
	if host := <-asked; host != elsewhere {
		t.Errorf("the Host header is %s", host)
	}
	op = slowops.NewHTTP("https://other.invalid", 0)
	defer op.Close()
	op.Via = web.Listener.Addr().String()
	op.Trust(pool)
	if err := op.Do(t.Context(), slowops.Call{}); err == nil || !strings.Contains(err.Error(), "not other.invalid") {
		t.Errorf("the certificate of another host: %v", err)
	}
}

func TestCacheVia(t *testing.T) {
	began := new(runs)
	op := slowops.NewCache(elsewhere + ":11211")
	defer op.Close()
	op.Via = backend(t, cachebackend.Start, began)
	if err := op.Do(t.Context(), slowops.Call{Run: "via"}); err != nil || !began.has("via") {
		t.Errorf("%v; began: %t", err, began.has("via"))
	}
}

// The op dials via alone, whatever network and host the DSN names.
func TestMySQLVia(t *testing.T) {
	for _, dsn := range []string{"lab@tcp(" + elsewhere + ":3306)/lab", "lab@unix(/run/" + elsewhere + ".sock)/lab"} {
		began := new(runs)
		op := newMySQL(t, dsn, 0)
		op.Via = backend(t, dbbackend.Start, began)
		for _, timeout := range []time.Duration{0, patience} {
			if err := op.Do(t.Context(), slowops.Call{Run: "via", IOTimeout: timeout}); err != nil || !began.has("via") {
				t.Errorf("%s: %v; began: %t", dsn, err, began.has("via"))
			}
		}
		db, err := op.DB()
		if err != nil {
			t.Fatal(err)
		}
		if err := db.PingContext(t.Context()); err != nil {
			t.Errorf("%s: %v", dsn, err)
		}
	}
}

// An error names the server and the address that was dialed.
func TestViaErrors(t *testing.T) {
	silent := serve(t, func(c net.Conn) { _, _ = io.Copy(io.Discard, c) })
	for what, via := range map[string]string{"refused": down(t), "silent": silent} {
		web := slowops.NewHTTP("http://"+elsewhere, 0)
		defer web.Close()
		store := slowops.NewCache(elsewhere + ":11211")
		defer store.Close()
		base := newMySQL(t, "lab@tcp("+elsewhere+":3306)/lab", 0)
		web.Via, store.Via, base.Via = via, via, via
		for name, do := range map[string]func(context.Context, slowops.Call) error{"http": web.Do, "cache": store.Do, "db": base.Do} {
			err := do(t.Context(), slowops.Call{IOTimeout: short})
			if err == nil || isTimeout(err) != (what == "silent") {
				t.Fatalf("%s %s: %v", what, name, err)
			}
			if name == "db" && what == "silent" {
				continue // the driver's own error doesn't name the server
			}
			if !strings.Contains(err.Error(), elsewhere) {
				t.Errorf("%s %s: %v", what, name, err)
			}
			if name != "http" && !strings.Contains(err.Error(), " via "+via) {
				t.Errorf("%s %s: %v", what, name, err)
			}
		}
	}
}
