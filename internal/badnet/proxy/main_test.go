package proxy_test

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"github.com/rs/zerolog/log"
	"go.uber.org/goleak"

	"gotimeout/internal/badnet"
	"gotimeout/internal/badnet/proxy"
)

const (
	ms       = time.Millisecond
	patience = 20 * time.Second // bounds what should happen soon
	slack    = 3 * time.Second  // what a busy machine may add
)

// The package is silent, though toxiproxy also writes to zerolog's global logger.
func TestMain(m *testing.M) {
	said := new(bytes.Buffer)
	log.Logger = zerolog.New(zerolog.SyncWriter(said))
	flag.Parse()
	_ = flag.Set("test.parallel", "8") // they wait: more at once than there are processors
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		if said.Len() > 0 {
			fmt.Printf("toxiproxy is not silent: %s\n", said)
			code = 1
		}
		os.Exit(code)
	}))
}

func profile(t *testing.T, text string) badnet.Profile {
	t.Helper()
	p, err := badnet.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// lab is one backend behind its proxy.
type lab struct {
	*testing.T
	proxies  *proxy.Proxies
	addr     string
	listener net.Listener
}

const backend = "backend"

// newLab puts the network of the text in front of a listener.
func newLab(t *testing.T, text string) *lab {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &lab{T: t, proxies: proxy.New(), listener: listener}
	t.Cleanup(func() {
		listener.Close()
		if err := l.proxies.Close(); err != nil {
			t.Error(err)
		}
	})
	if l.addr, err = l.proxies.Attach(backend, listener.Addr().String()); err != nil {
		t.Fatal(err)
	}
	l.apply(text)
	return l
}

func (l *lab) apply(text string) {
	l.Helper()
	if err := l.proxies.Apply(backend, profile(l.T, text)); err != nil {
		l.Fatal(err)
	}
}

// connect returns both ends of a connection through the proxy.
func (l *lab) connect() (client, server *net.TCPConn) {
	l.Helper()
	c, err := net.Dial("tcp", l.addr)
	if err != nil {
		l.Fatal(err)
	}
	s, err := l.listener.Accept()
	if err != nil {
		l.Fatal(err)
	}
	l.Cleanup(func() { c.Close(); s.Close() })
	for _, conn := range []net.Conn{c, s} {
		if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
			l.Fatal(err)
		}
	}
	return c.(*net.TCPConn), s.(*net.TCPConn)
}

// pass writes a byte into one end, and returns when it comes out of the other.
func (l *lab) pass(from, to net.Conn) time.Duration {
	l.Helper()
	start := time.Now()
	l.write(from, "x")
	if _, err := io.ReadFull(to, make([]byte, 1)); err != nil {
		l.Fatal(err)
	}
	return time.Since(start)
}

// fastest passes a byte several times: a busy machine only makes it slower.
func (l *lab) fastest(from, to net.Conn) time.Duration {
	l.Helper()
	least := patience
	for range 9 {
		least = min(least, l.pass(from, to))
	}
	return least
}

func (l *lab) write(to io.Writer, text string) {
	l.Helper()
	if _, err := io.WriteString(to, text); err != nil {
		l.Fatal(err)
	}
}

// outcome reads to the end, and says what came and how it ended.
func outcome(from io.Reader) string {
	data, err := io.ReadAll(from)
	end := "close"
	switch {
	case isReset(err):
		end = "reset"
	case err != nil:
		end = err.Error()
	}
	return string(data) + "|" + end
}

const wsaeConnReset = syscall.Errno(10054) // Windows'

func isReset(err error) bool {
	return errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) || errors.Is(err, wsaeConnReset)
}

// near fails the test unless it took what was asked for, or somewhat longer.
func near(t *testing.T, what string, took, asked time.Duration) {
	t.Helper()
	if took < asked || took > asked+slack {
		t.Errorf("%s took %s, not %s", what, took, asked)
	}
}
