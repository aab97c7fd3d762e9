package backends

import (
	"bufio"
	"context"
	"errors"
	"net"
	"os"
	"time"
)

var errClientGone = errors.New("the client has left")

// client is the connection of one client, read through a buffer. While a server is busy with a request nobody reads from
// the connection, so nobody learns that the client has left; peeking into the buffer shows it, takes nothing of the next
// request away, and needs no call that is particular to an operating system.
type client struct {
	net.Conn
	r *bufio.Reader
}

func newClient(c net.Conn) *client { return &client{Conn: c, r: bufio.NewReader(c)} }

func (c *client) Read(p []byte) (int, error) { return c.r.Read(p) }

// stay waits until the client has left, and returns errClientGone, or until the given time, and returns nil. It must run
// on the goroutine that reads from c. Requests that the client sends ahead are kept; a client that sends more than
// the buffer holds is there, and is not looked at again.
func (c *client) stay(ctx context.Context, until time.Time) error {
	if err := c.SetReadDeadline(until); err != nil {
		return errClientGone
	}
	defer c.SetReadDeadline(time.Time{})
	for n := c.r.Buffered() + 1; n <= c.r.Size(); n = c.r.Buffered() + 1 {
		_, err := c.r.Peek(n)
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			return nil
		case err != nil:
			return errClientGone
		}
	}
	return pause(ctx, time.Until(until))
}
