package backends

import (
	"context"
	"fmt"
	"maps"
	"net"
	"slices"
	"sync"
	"time"
)

// Options is what a backend needs from the lab.
type Options struct {
	// MaxDelay is the longest work that a run may ask for. Longer work is refused in the protocol's own way: HTTP 400,
	// CLIENT_ERROR, a MySQL error.
	MaxDelay time.Duration

	// Began and Ended are called when the backend begins and stops working on a run. They are called for work with a run's
	// tag alone, and each Began has exactly one Ended, also when the server is closed. A small answer leaves after Ended.
	// They may be nil and must not block.
	Began, Ended func(run string)
}

// Server is one running backend.
type Server struct {
	Name string // "http", "cache", "db" or "grpc"
	Addr string // "127.0.0.1:port"

	jobs     *ledger
	listener net.Listener
	ctx      context.Context // see Context
	cancel   context.CancelFunc
	running  sync.WaitGroup // the accept loop and one for each connection

	mu     sync.Mutex
	closed bool
	conns  map[*Conn]struct{}
}

func Listen(name string, o Options) (*Server, error) {
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
		conns:    map[*Conn]struct{}{},
	}, nil
}

// Elsewhere describes a server of another process, which does the work and knows of it. It can't
// be closed.
func Elsewhere(name, addr string) *Server {
	return &Server{Name: name, Addr: addr, jobs: &ledger{open: map[uint64]Job{}}}
}

// Begin enters work that begins now, under the tag of its run or "". The caller must call end exactly once, when the work has
// stopped.
func (s *Server) Begin(run, work string) (end func()) { return s.jobs.begin(run, work) }

// Working returns what the server is working on now, oldest first, tagged or not. The cache's fast commands are not work.
func (s *Server) Working() []Job { return s.jobs.list() }

// Close stops accepting, closes every connection, ends the work in progress, and returns when the goroutine of every connection
// has returned. Further calls wait for the same.
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
			c.Cut()
		}
		s.mu.Unlock()
	}
	s.running.Wait()
	if err != nil {
		return fmt.Errorf("close backend %s: %w", s.Name, err)
	}
	return nil
}

// Context is done once Close was called. Work that watches nothing else watches this context.
func (s *Server) Context() context.Context { return s.ctx }

// Serve runs serve in the background, with a listener that registers the connections that it accepts: Close closes them, and
// waits until serve has returned and has closed each of them. So an http.Server that is served needs no Close of its own.
func (s *Server) Serve(serve func(net.Listener)) {
	s.running.Go(func() { serve(acceptor{s}) })
}

// ServeEach accepts connections in the background until the server is closed, and runs serve for each in a goroutine of its own.
// The connection is closed when serve returns.
func (s *Server) ServeEach(serve func(net.Conn)) {
	s.Serve(func(l net.Listener) { s.acceptAll(l, serve) })
}

func (s *Server) acceptAll(l net.Listener, serve func(net.Conn)) {
	for s.ctx.Err() == nil {
		c, err := l.Accept()
		if err != nil {
			// Such as: out of file descriptors, which the lab causes on purpose and which passes.
			_ = Pause(s.ctx, 5*time.Millisecond)
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
	c := &Conn{TCPConn: accepted.(*net.TCPConn), s: a.s}
	a.s.conns[c] = struct{}{}
	a.s.running.Add(1)
	return c, nil
}

func (a acceptor) Close() error   { return a.s.listener.Close() }
func (a acceptor) Addr() net.Addr { return a.s.listener.Addr() }

// Conn is a connection that its server keeps until Close. The goroutine that serves the connection calls Close last.
type Conn struct {
	*net.TCPConn
	s    *Server
	once sync.Once
}

// Cut closes the socket alone: the goroutine that serves the connection gets an error, and calls Close when it has finished.
func (c *Conn) Cut() { _ = c.TCPConn.Close() }

func (c *Conn) Close() error {
	err := c.TCPConn.Close()
	c.once.Do(func() {
		c.s.mu.Lock()
		delete(c.s.conns, c)
		c.s.mu.Unlock()
		c.s.running.Done()
	})
	return err
}

// Job is a piece of work that a backend is doing.
type Job struct {
	Run   string    `json:"run"`  // the tag it carries, or ""
	Work  string    `json:"work"` // "GET /delay/5", "get delay/300ms", the SQL text
	Began time.Time `json:"began"`
}

// ledger keeps the jobs in progress and reports those of a run.
type ledger struct {
	began, ended func(run string)

	mu   sync.Mutex
	last uint64
	open map[uint64]Job // by number, in the order they began
}

// begin enters a job, see Server.Begin.
func (l *ledger) begin(run, work string) (end func()) {
	l.mu.Lock()
	l.last++
	n := l.last
	l.open[n] = Job{Run: run, Work: work, Began: time.Now()}
	l.mu.Unlock()

	report(l.began, run)
	return func() {
		l.mu.Lock()
		delete(l.open, n)
		l.mu.Unlock()
		report(l.ended, run)
	}
}

func report(to func(run string), run string) {
	if to != nil && run != "" {
		to(run)
	}
}

func (l *ledger) list() []Job {
	l.mu.Lock()
	defer l.mu.Unlock()
	jobs := make([]Job, 0, len(l.open))
	for _, n := range slices.Sorted(maps.Keys(l.open)) {
		jobs = append(jobs, l.open[n])
	}
	return jobs
}
