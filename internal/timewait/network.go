package timewait

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"sync"
	"time"

	"gotimeout/internal/sockets"
)

// patience bounds the wait for a state that comes at once on an idle machine.
const patience = 10 * time.Second

// until calls done until it returns true or the bound has passed. A bound that has passed is no error: the step reports the state
// that there is by then.
func until(ctx context.Context, bound time.Duration, done func() (bool, error)) error {
	end := time.Now().Add(bound)
	for pause := time.Millisecond; ; pause = min(2*pause, 100*time.Millisecond) {
		if done, err := done(); done || err != nil {
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

// server accepts connections and hands each to a function. No other socket had its port before, so that every socket that the
// kernel has on the port is this server's.
type server struct {
	listener net.Listener
	addr     string
	port     uint16
	handlers sync.WaitGroup
}

// serve starts a server on an address, whose connections are closed when handle returns. c may be nil.
func serve(ctx context.Context, ip string, c control, handle func(*net.TCPConn)) (*server, error) {
	l, err := listen(ctx, ip, c)
	if err != nil {
		return nil, err
	}
	s := &server{listener: l, addr: l.Addr().String(), port: addrPort(l.Addr())}
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

// close stops the server and waits for the functions that have its connections.
func (s *server) close() {
	s.listener.Close()
	s.handlers.Wait()
}

// errNoSockDiag is the error of a kernel without sock_diag.
var errNoSockDiag = errors.New("this kernel does not show its sockets (CONFIG_INET_DIAG): load it with sudo modprobe tcp_diag, or use another kernel")

// listen listens on a port that is new to the kernel: on another port a connection of an earlier experiment may still be in
// TIME-WAIT.
func listen(ctx context.Context, ip string, c control) (net.Listener, error) {
	config := net.ListenConfig{Control: c}
	for range 100 {
		l, err := config.Listen(ctx, "tcp4", net.JoinHostPort(ip, "0"))
		if err != nil {
			return nil, err
		}
		port, all, listening := addrPort(l.Addr()), 0, false
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
			err = errNoSockDiag
		}
		l.Close()
		if err != nil {
			return nil, err
		}
	}
	return nil, errors.New("no port is free of earlier connections")
}

// dial connects, with a bound.
func dial(ctx context.Context, d net.Dialer, addr string) (*net.TCPConn, error) {
	d.Timeout = patience
	conn, err := d.DialContext(ctx, "tcp4", addr)
	if err != nil {
		return nil, err
	}
	_ = conn.SetDeadline(time.Now().Add(patience))
	return conn.(*net.TCPConn), nil
}

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

// newClient returns a client with a transport of its own, which keeps that many idle connections; 0 is net/http's default.
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

// open gets a URL and leaves the body of the answer to the caller.
func open(ctx context.Context, client *http.Client, url string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	return client.Do(req)
}

// connections are the sockets that the kernel has of a server's connections, by their end.
type connections struct{ client, server []sockets.Socket }

// look reads the connections of a server's port.
func look(port uint16) (c connections, err error) {
	err = sockets.Each(sockets.All&^sockets.In(sockets.Listen), func(s sockets.Socket) {
		switch port {
		case s.Remote.Port():
			c.client = append(c.client, s)
		case s.Local.Port():
			c.server = append(c.server, s)
		}
	})
	return c, err
}

// settled waits until each end of a port's connections is gone or in TIME-WAIT, and returns those that are in TIME-WAIT.
func settled(ctx context.Context, port uint16) (c connections, err error) {
	return c, until(ctx, patience, func() (bool, error) {
		c, err = look(port)
		return c.count() == c.count(sockets.TimeWait), err
	})
}

// count returns how many of the sockets are in one of the states, or all without a state.
func (c connections) count(in ...sockets.State) int {
	return count(c.client, in...) + count(c.server, in...)
}

func count(all []sockets.Socket, in ...sockets.State) (n int) {
	if len(in) == 0 {
		return len(all)
	}
	set := sockets.In(in...)
	for _, s := range all {
		if set&sockets.In(s.State) != 0 {
			n++
		}
	}
	return n
}

// command is what a person would type to see the sockets of a port.
func command(port uint16) string {
	return fmt.Sprintf("ss -tan '( sport = :%d or dport = :%[1]d )'", port)
}

func addrPort(a net.Addr) uint16 { return uint16(a.(*net.TCPAddr).Port) }
