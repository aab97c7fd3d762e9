package cachebackend_test

import (
	"bytes"
	"io"
	"net"
	"testing"
	"time"

	cachebackend "gotimeout/internal/backends/cache"
)

// scripted is a connection whose client has sent all that it will and left.
type scripted struct {
	io.Reader
	bytes.Buffer
}

func (c *scripted) Read(p []byte) (int, error)       { return c.Reader.Read(p) }
func (c *scripted) Write(p []byte) (int, error)      { return c.Buffer.Write(p) }
func (c *scripted) Close() error                     { return nil }
func (c *scripted) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (c *scripted) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (c *scripted) SetDeadline(time.Time) error      { return nil }
func (c *scripted) SetReadDeadline(time.Time) error  { return nil }
func (c *scripted) SetWriteDeadline(time.Time) error { return nil }

// Whatever a client sends: no panic, no more memory than the limit, and answers that are whole lines.
func FuzzCacheConnection(f *testing.F) {
	for _, x := range exchanges() {
		if len(x.send) < 10_000 {
			f.Add([]byte(x.send))
		}
	}
	f.Add([]byte("get delay/1ms/run delay/0\r\nget delay/x\r\nset delay/0 0 0 1\r\na\r\nget delay/0\r\n"))
	f.Fuzz(func(t *testing.T, sent []byte) {
		const limit = 2000
		c := &scripted{Reader: bytes.NewReader(sent)}
		if held := cachebackend.Serve(c, limit, time.Millisecond); held > limit || held < 0 {
			t.Errorf("holds %d bytes of at most %d", held, limit)
		}
		if out := c.Bytes(); len(out) > 0 && !bytes.HasSuffix(out, []byte("\r\n")) {
			t.Errorf("answers end in %q", out[max(0, len(out)-40):])
		}
	})
}
