package httpbackend

import (
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"gotimeout/internal/backends"
)

// exchange is one request to a target, whose answer is written by hand: a
// server of net/http's doesn't stop in the middle of a header.
type exchange struct {
	*backends.Client
	server *backends.Server
	tcp    net.Conn
	delay  time.Duration
}

// converse reads a request, answers it and lets the client go: a target's
// fault is that of a connection, so each has one request.
func converse(s *backends.Server, name string, o backends.Options, nc net.Conn, answer func(*exchange)) {
	x := &exchange{Client: backends.NewClient(nc), server: s, tcp: nc}
	request, err := http.ReadRequest(x.Reader)
	if err != nil {
		return
	}
	if x.delay, err = backends.ParseDelay(strings.TrimPrefix(request.URL.Path, "/delay/"), o.MaxDelay); err != nil {
		fmt.Fprintf(x, "HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s", len(err.Error()), err)
		return
	}
	end := s.Begin(request.Header.Get(runHeader), name+" "+request.URL.Path)
	defer end()
	answer(x)
}

// forEver is longer than any client stays.
const forEver = 24 * time.Hour

// pause waits, and tells whether the client is still there.
func (x *exchange) pause(d time.Duration) bool {
	return x.Stay(x.server.Context(), time.Now().Add(d)) == nil
}

func (x *exchange) wait() { x.pause(forEver) }

func (x *exchange) ok() {
	if x.pause(x.delay) {
		fmt.Fprint(x, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 3\r\n\r\nok\n")
	}
}

// slowHeaders sends a byte of a header now and then, until the delay is over.
func (x *exchange) slowHeaders() {
	fmt.Fprint(x, "HTTP/1.1 200 OK\r\nConnection: close\r\nX-Slow: ")
	if x.trickle("s") {
		fmt.Fprint(x, "\r\nContent-Length: 3\r\n\r\nok\n")
	}
}

// drip sends a byte of the body now and then, until the delay is over. The end
// of the connection is that of the body.
func (x *exchange) drip() {
	fmt.Fprint(x, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
	x.trickle(".")
}

func (x *exchange) trickle(what string) (all bool) {
	for end := time.Now().Add(x.delay); time.Now().Before(end); {
		if _, err := fmt.Fprint(x, what); err != nil || !x.pause(dripEvery) {
			return false
		}
	}
	return true
}

func (x *exchange) half() {
	fmt.Fprintf(x, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s", 2*len(half), half)
}

// stall sends half the body, and then nothing.
func (x *exchange) stall() {
	x.half()
	x.wait()
}

// halfClose sends half the body, and then that there is no more, but stays.
func (x *exchange) halfClose() {
	x.half()
	if c, ok := x.tcp.(interface{ CloseWrite() error }); ok && c.CloseWrite() == nil {
		x.wait()
	}
}

// reset drops the connection as a machine does that knows nothing of it.
func (x *exchange) reset() {
	if c, ok := x.tcp.(interface{ SetLinger(int) error }); ok {
		_ = c.SetLinger(0)
	}
	_ = x.tcp.Close()
}
