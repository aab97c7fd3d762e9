package backends

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"time"
)

// ErrClientGone is what [Client.Stay] returns when the client has left.
var ErrClientGone = errors.New("the client has left")

// Client is the connection of one client, read through a buffer. While a server works on a request it does not read from the
// connection, and does not learn that the client has left. Peeking into the buffer shows that, takes nothing of the next request
// away, and is the same on every operating system.
type Client struct {
	net.Conn
	Reader *bufio.Reader // of Conn
}

// NewClient returns the client at the other end of c.
func NewClient(c net.Conn) *Client { return &Client{Conn: c, Reader: bufio.NewReader(c)} }

func (c *Client) Read(p []byte) (int, error) { return c.Reader.Read(p) }

// Stay returns ErrClientGone as soon as the client has left, nil at the given time, and ctx's cause when ctx is done. It must be
// called on the goroutine that reads from c. Requests that the client sends ahead are kept; a client that has sent more than the
// buffer holds counts as present, and is not checked again.
func (c *Client) Stay(ctx context.Context, until time.Time) error {
	if err := c.SetReadDeadline(until); err != nil {
		return ErrClientGone
	}
	defer c.SetReadDeadline(time.Time{})
	for n := c.Reader.Buffered() + 1; n <= c.Reader.Size(); n = c.Reader.Buffered() + 1 {
		_, err := c.Reader.Peek(n)
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			return nil
		case err != nil:
			return ErrClientGone
		}
	}
	return Pause(ctx, time.Until(until))
}

// ParseDelay reads a Go duration ("300ms") or plain seconds ("0.3"), as httpbin does, of at least 0 and at most longest.
func ParseDelay(text string, longest time.Duration) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	if err != nil {
		seconds, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return 0, fmt.Errorf("bad duration %.40q: write 300ms, 1.5s or plain seconds", text)
		}
		if !(seconds <= longest.Seconds()) { // also true of NaN; and seconds beyond the cap may not fit a Duration
			return 0, fmt.Errorf("duration %.40q is over the cap of %s", text, longest)
		}
		d = time.Duration(max(seconds, -1) * float64(time.Second))
	}
	switch {
	case d < 0:
		return 0, fmt.Errorf("duration %.40q is negative", text)
	case d > longest:
		return 0, fmt.Errorf("duration %.40q is over the cap of %s", text, longest)
	}
	return d, nil
}

// Pause waits for d, or returns ctx's cause when that comes first.
func Pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
