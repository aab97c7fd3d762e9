package slowops_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"net"
	"strings"
	"testing"

	proto "github.com/go-mysql-org/go-mysql/mysql"
	"github.com/go-mysql-org/go-mysql/server"

	"gotimeout/slowops"
)

// A certificate is to be of the server, and not of what is dialled.
func TestMySQLViaTLS(t *testing.T) {
	cert, pool := certificate(t)
	secure := &tls.Config{Certificates: []tls.Certificate{cert}}
	const kind = proto.AUTH_NATIVE_PASSWORD
	addr := (&fakeDB{answer: 1}).serve(t, server.NewServer("8.0.11", proto.DEFAULT_COLLATION_ID, kind, nil, secure), kind, "")
	for host, want := range map[string]string{elsewhere: "", "other.invalid": "not other.invalid"} {
		cfg, err := slowops.ParseDSN("lab@tcp(" + host + ":3306)/lab?tls=true")
		if err != nil {
			t.Fatal(err)
		}
		cfg.TLS.RootCAs = pool
		op := slowops.NewMySQL(cfg, 0)
		defer op.Close()
		op.Via = addr
		err = op.Do(t.Context(), slowops.Call{})
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v; want %q", host, err, want)
		}
	}
}

// Over a Unix socket the driver sends a password as it is, and over TCP it
// must not.
func TestMySQLViaHidesThePassword(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	const kind = proto.AUTH_CACHING_SHA2_PASSWORD
	addr := (&fakeDB{answer: 1}).serve(t, server.NewServer("8.0.11", proto.DEFAULT_COLLATION_ID, kind, key, nil), kind, secret)
	said := make(chan string, 1)
	op := newMySQL(t, "lab:"+secret+"@unix(/run/x.sock)/lab", 0)
	op.Via = serve(t, func(c net.Conn) {
		heard := &tap{Conn: c}
		pass(heard, addr)
		said <- heard.said.String()
	})
	if err := op.Do(t.Context(), slowops.Call{IOTimeout: patience}); err != nil {
		t.Error(err)
	}
	op.Close()
	if text := <-said; !strings.Contains(text, "SELECT") || strings.Contains(text, secret) {
		t.Errorf("the client said %q", text)
	}
}

// tap keeps what it reads.
type tap struct {
	net.Conn
	said strings.Builder
}

func (c *tap) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.said.Write(b[:n])
	return n, err
}
