// Package backendtest is what the tests of the stand-ins share.
package backendtest

import (
	"bytes"
	"errors"
	"io"
	"maps"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"gotimeout/internal/backends"
)

// Patience bounds what should happen soon; it is far below the delays that tests expect to be cut short.
const (
	Patience = 30 * time.Second
	Long     = 5 * time.Minute
)

// Runs counts what a backend reports.
type Runs struct {
	mu           sync.Mutex
	began, ended map[string]int
}

// NewRuns returns a count that has begun nothing.
func NewRuns() *Runs { return &Runs{began: map[string]int{}, ended: map[string]int{}} }

// Options returns those of a backend that reports to r.
func (r *Runs) Options() backends.Options {
	return backends.Options{
		MaxDelay: Long,
		Began:    func(run string) { r.count(r.began, run) },
		Ended:    func(run string) { r.count(r.ended, run) },
	}
}

func (r *Runs) count(in map[string]int, run string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	in[run]++
}

// HasBegun returns whether a run has begun once.
func (r *Runs) HasBegun(run string) func() bool {
	return func() bool { return r.number(r.began, run) == 1 }
}

// HasEnded returns whether a run has ended once.
func (r *Runs) HasEnded(run string) func() bool {
	return func() bool { return r.number(r.ended, run) == 1 }
}

func (r *Runs) number(in map[string]int, run string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return in[run]
}

// Balanced fails the test unless each run began once and ended once.
func (r *Runs) Balanced(t *testing.T, want ...string) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	once := map[string]int{}
	for _, run := range want {
		once[run] = 1
	}
	if !maps.Equal(r.began, once) || !maps.Equal(r.ended, once) {
		t.Errorf("began %v, ended %v; want each of %v once", r.began, r.ended, want)
	}
}

// Start starts a backend that is closed with the test.
func Start(t testing.TB, from func(backends.Options) (*backends.Server, error), o backends.Options) *backends.Server {
	t.Helper()
	s, err := from(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// Eventually fails the test unless ok returns true within Patience.
func Eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	ticker := time.NewTicker(2 * time.Millisecond)
	defer ticker.Stop()
	for deadline := time.Now().Add(Patience); !ok(); <-ticker.C {
		if time.Now().After(deadline) {
			t.Fatalf("not within %s: %s", Patience, what)
		}
	}
}

// RealServer returns the address in a variable. It skips without one, but not where a CI promises the real servers.
func RealServer(t *testing.T, variable string) string {
	t.Helper()
	address := os.Getenv(variable)
	if address == "" && os.Getenv("CI") == "true" {
		t.Fatalf("%s is not set: CI must run this against the real server", variable)
	}
	if address == "" {
		t.Skipf("%s is not set", variable)
	}
	return address
}

// Talk sends bytes on a connection of its own and returns it.
func Talk(t *testing.T, addr, send string) *net.TCPConn {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(Patience)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(c, send); err != nil {
		t.Fatal(err)
	}
	return c.(*net.TCPConn)
}

// IsTimeout returns whether err is that a deadline passed.
func IsTimeout(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}

// Script is a connection whose client has sent its whole input, and left.
type Script struct {
	sent    io.Reader
	answers bytes.Buffer
}

// NewScript returns the connection of a client that has sent these bytes.
func NewScript(sent []byte) *Script { return &Script{sent: bytes.NewReader(sent)} }

// Answers returns all that the server has written.
func (c *Script) Answers() []byte { return c.answers.Bytes() }

func (c *Script) Read(p []byte) (int, error)       { return c.sent.Read(p) }
func (c *Script) Write(p []byte) (int, error)      { return c.answers.Write(p) }
func (c *Script) Close() error                     { return nil }
func (c *Script) Cut()                             { c.sent = bytes.NewReader(nil) }
func (c *Script) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (c *Script) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (c *Script) SetDeadline(time.Time) error      { return nil }
func (c *Script) SetReadDeadline(time.Time) error  { return nil }
func (c *Script) SetWriteDeadline(time.Time) error { return nil }
