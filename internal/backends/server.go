package backends

import (
	"context"
	"fmt"
	"net"
	"sync"
	"time"
)

// Options is what a backend needs from the lab.
type Options struct {
	// MaxDelay is the longest work that a run may ask for. Longer work is refused in the protocol's own way: HTTP 400,
	// CLIENT_ERROR, a MySQL error.
	MaxDelay time.Duration

	// Began and Ended are called when the backend began and stopped working on a run, only for work that carries a
	// run's tag, with exactly one Ended for each Began, also when the server is closed. Ended is called before the
	// answer leaves, where the answer is small. They may be nil and must not block.
	Began, Ended func(run string)
}

// Server is one running backend.
type Server struct {
	Name string // "http", "cache" or "db"
	Addr string // "127.0.0.1:port"

	jobs     *ledger
	listener net.Listener
	ctx      context.Context // done once Close was called: work that looks at nothing else looks at this
	cancel   context.CancelFunc
	running  sync.WaitGroup // the accept loop and one for each connection

	mu     sync.Mutex
	closed bool
	conns  map[*conn]struct{}
}

func listen(name string, o Options) (*Server, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("start backend %s: %w", name, err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	return &Server{
		Name:     name,
		Addr:     listener.Addr().String(),
		jobs:     &ledger{began: o.Began, ended: o.Ended, open: map[uint64]Job{}},
		listener: listener,
		ctx:      ctx,
		cancel:   cancel,
		conns:    map[*conn]struct{}{},
	}, nil
}

// Working returns what the server is working on now, oldest first, tagged or not. The cache's fast commands are not work.
func (s *Server) Working() []Job { return s.jobs.list() }

// Close stops accepting, closes every connection, ends the work in progress, and returns when every connection has been let
// go by its goroutine. Further calls wait too and do nothing else.
func (s *Server) Close() error {
	s.mu.Lock()
	first := !s.closed
	s.closed = true
	s.mu.Unlock()

	var err error
	if first {
		s.cancel()
		err = s.listener.Close()
		s.mu.Lock()
		for c := range s.conns {
			c.cut()
		}
		s.mu.Unlock()
	}
	s.running.Wait()
	if err != nil {
		return fmt.Errorf("close backend %s: %w", s.Name, err)
	}
	return nil
}

// each accepts connections until the server is closed and runs serve for each in a goroutine of its own. The connection
// is closed when serve returns.
func (s *Server) each(serve func(net.Conn)) {
	accept := acceptor{s}
	for s.ctx.Err() == nil {
		c, err := accept.Accept()
		if err != nil {
			// Out of file descriptors, say: the lab does that on purpose, and it passes.
			_ = pause(s.ctx, 5*time.Millisecond)
			continue
		}
		go func() {
			defer c.Close()
			serve(c)
		}()
	}
}

// acceptor is the server's listener, and registers each connection that it hands out.
type acceptor struct{ s *Server }

func (a acceptor) Accept() (net.Conn, error) {
	accepted, err := a.s.listener.Accept()
	if err != nil {
		return nil, err
	}
	a.s.mu.Lock()
	defer a.s.mu.Unlock()
	if a.s.closed {
		accepted.Close()
		return nil, net.ErrClosed
	}
	c := &conn{TCPConn: accepted.(*net.TCPConn), s: a.s}
	a.s.conns[c] = struct{}{}
	a.s.running.Add(1)
	return c, nil
}

func (a acceptor) Close() error   { return a.s.listener.Close() }
func (a acceptor) Addr() net.Addr { return a.s.listener.Addr() }

// conn is a connection that its server knows of until Close, which the goroutine that serves it calls last.
type conn struct {
	*net.TCPConn
	s    *Server
	once sync.Once
}

// cut closes the connection under the goroutine that serves it, which finds out and calls Close when it has finished.
func (c *conn) cut() { _ = c.TCPConn.Close() }

func (c *conn) Close() error {
	err := c.TCPConn.Close()
	c.once.Do(func() {
		c.s.mu.Lock()
		delete(c.s.conns, c)
		c.s.mu.Unlock()
		c.s.running.Done()
	})
	return err
}
