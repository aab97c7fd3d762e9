package timewait

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	"gotimeout/internal/sockets"
)

// patience bounds the wait for a state that comes at once on an idle machine.
const patience = 10 * time.Second

// until looks until it sees what is waited for, or the bound has passed: that
// is no error, what there is by then will be told.
func until(ctx context.Context, bound time.Duration, look func() (bool, error)) error {
	end := time.Now().Add(bound)
	for pause := time.Millisecond; ; pause = min(2*pause, 100*time.Millisecond) {
		if done, err := look(); done || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(min(pause, time.Until(end))):
		}
		if !time.Now().Before(end) {
			return nil
		}
	}
}

// server accepts connections and hands each to a function. Its port was no other
// socket's before, so that whatever the kernel has on it is this server's.
type server struct {
	listener net.Listener
	addr     string
	port     uint16
	handlers sync.WaitGroup
}

// serve starts a server on an address, whose connections are closed when handle
// returns. c may be nil.
func serve(ctx context.Context, ip string, c control, handle func(*net.TCPConn)) (*server, error) {
	l, err := listen(ctx, ip, c)
	if err != nil {
		return nil, err
	}
	s := &server{listener: l, addr: l.Addr().String(), port: uint16(l.Addr().(*net.TCPAddr).Port)}
	s.handlers.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			s.handlers.Go(func() {
				defer conn.Close()
				handle(conn.(*net.TCPConn))
			})
		}
	})
	return s, nil
}

// close stops the server and waits for what it does for its connections.
func (s *server) close() {
	s.listener.Close()
	s.handlers.Wait()
}

// errBlind is what a kernel without sock_diag comes to.
var errBlind = errors.New("this kernel doesn't show its sockets (CONFIG_INET_DIAG): load it with sudo modprobe tcp_diag, or run it on another one")

// listen listens on a port that is new to the kernel: a connection of an
// earlier experiment may still be in TIME-WAIT on another.
func listen(ctx context.Context, ip string, c control) (net.Listener, error) {
	config := net.ListenConfig{Control: c}
	for range 100 {
		l, err := config.Listen(ctx, "tcp4", net.JoinHostPort(ip, "0"))
		if err != nil {
			return nil, err
		}
		port, all, listening := uint16(l.Addr().(*net.TCPAddr).Port), 0, false
		err = sockets.Each(sockets.All, func(s sockets.Socket) {
			if s.Local.Port() == port || s.Remote.Port() == port {
				all++
				listening = listening || s.State == sockets.Listen
			}
		})
		switch {
		case err == nil && listening && all == 1:
			return l, nil
		case err == nil && !listening:
			err = errBlind
		}
		l.Close()
		if err != nil {
			return nil, err
		}
	}
	return nil, errors.New("no port is free of earlier connections")
}

// command is what a person would type to see the sockets of a port.
func command(port uint16) string {
	return fmt.Sprintf("ss -tan '( sport = :%d or dport = :%[1]d )'", port)
}

// plural is "1 connection" or "2 connections".
func plural(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return strconv.Itoa(n) + " " + what
}

func number(n int) *int { return &n }

func addrPort(a net.Addr) uint16 { return uint16(a.(*net.TCPAddr).Port) }

// httpServer is a server of HTTP on a port of its own.
type httpServer struct {
	*http.Server
	url     string
	port    uint16
	serving sync.WaitGroup // the server, and its handlers
}

func serveHTTP(ctx context.Context, handler http.HandlerFunc) (*httpServer, error) {
	l, err := listen(ctx, "127.0.0.1", nil)
	if err != nil {
		return nil, err
	}
	s := &httpServer{url: "http://" + l.Addr().String(), port: addrPort(l.Addr())}
	s.Server = &http.Server{
		ErrorLog: log.New(io.Discard, "", 0),
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			s.serving.Add(1)
			defer s.serving.Done()
			handler(w, r)
		}),
	}
	s.serving.Go(func() { _ = s.Serve(l) })
	return s, nil
}

// close closes the server with its connections, and waits for its handlers.
func (s *httpServer) close() {
	s.Server.Close()
	s.serving.Wait()
}

// newClient returns a client with a transport of its own, which keeps that many
// idle connections, 0 for net/http's default.
func newClient(idle int) *http.Client {
	return &http.Client{Transport: &http.Transport{
		DialContext:         (&net.Dialer{Timeout: patience}).DialContext,
		MaxIdleConnsPerHost: idle,
		IdleConnTimeout:     time.Minute,
	}}
}

// get gets a URL and reads the answer.
func get(ctx context.Context, client *http.Client, url string) error {
	resp, err := open(ctx, client, url)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, resp.Body)
	return errors.Join(err, resp.Body.Close())
}

func open(ctx context.Context, client *http.Client, url string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	return client.Do(req)
}

// ends are what the kernel has of a server's connections.
type ends struct{ client, server []sockets.Socket }

func look(port uint16) (e ends, err error) {
	err = sockets.Each(sockets.All&^sockets.In(sockets.Listen), func(s sockets.Socket) {
		switch port {
		case s.Remote.Port():
			e.client = append(e.client, s)
		case s.Local.Port():
			e.server = append(e.server, s)
		}
	})
	return e, err
}

func count(in []sockets.Socket, state sockets.State) (n int) {
	for _, s := range in {
		if s.State == state {
			n++
		}
	}
	return n
}

// settled waits until all connections of a port are gone or in TIME-WAIT, and
// returns what is left of them.
func settled(ctx context.Context, port uint16) (e ends, err error) {
	return e, until(ctx, patience, func() (bool, error) {
		e, err = look(port)
		return e.moving() == 0, err
	})
}

// pooled waits the same, but for those that a client keeps open: two looks must
// have seen no change.
func pooled(ctx context.Context, port uint16) (e ends, err error) {
	const between = 20 * time.Millisecond
	var before ends
	var since time.Time
	return e, until(ctx, patience, func() (bool, error) {
		if e, err = look(port); err != nil {
			return false, err
		}
		if since.IsZero() || e.summary() != before.summary() {
			before, since = e, time.Now()
		}
		idle := count(e.client, sockets.Established) + count(e.server, sockets.Established)
		return e.moving() == idle && time.Since(since) >= between, nil
	})
}

// moving is how many of the sockets will be in another state.
func (e ends) moving() int {
	return len(e.client) + len(e.server) - count(e.client, sockets.TimeWait) - count(e.server, sockets.TimeWait)
}

func (e ends) summary() [4]int {
	return [4]int{len(e.client), len(e.server), count(e.client, sockets.TimeWait), count(e.server, sockets.TimeWait)}
}
