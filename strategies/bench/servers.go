package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strings"
	"syscall"
	"time"

	"gotimeout/internal/machine"

	"github.com/go-chi/chi/v5"
	"github.com/mccutchen/go-httpbin/v2/httpbin"
	nats "github.com/nats-io/nats-server/v2/server"
)

// serveBare serves handlers as a developer writes them: chi, net/http, and
// context.WithTimeout or an abandoned goroutine, with the httpbin at base. Without a base
// the httpbin runs in this process, as the lab's embedded httpbin runs in the lab's.
func serveBare(ctx context.Context, base string) error {
	if base == "" {
		backend, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		go func() { _ = http.Serve(backend, httpbin.New()) }()
		base = "http://" + backend.Addr().String()
	}
	r := chi.NewRouter()
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 1 << 20}}
	r.Get("/bare", bareHandler(func(ctx context.Context, timeout time.Duration, delay string) error {
		ctx, cancel := context.WithTimeout(ctx, timeout)
		defer cancel()
		return get(ctx, client, base+"/delay/"+delay)
	}))
	r.Get("/"+bareAbandon, bareHandler(func(ctx context.Context, timeout time.Duration, delay string) error {
		done := make(chan error, 1)
		go func() { done <- get(context.WithoutCancel(ctx), client, base+"/delay/"+delay) }()
		select {
		case err := <-done:
			return err
		case <-time.After(timeout):
			return context.DeadlineExceeded
		}
	}))
	r.Get("/metrics", serveUsage)
	return serve(ctx, freePort, r)
}

func bareHandler(call func(ctx context.Context, timeout time.Duration, delay string) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		timeout, err := time.ParseDuration(r.URL.Query().Get("timeout"))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		if err := call(r.Context(), timeout, r.URL.Query().Get("delay")); err != nil {
			http.Error(w, err.Error(), http.StatusGatewayTimeout)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"completed": true}`)
	}
}

func get(ctx context.Context, client *http.Client, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return err
}

// serveUsage serves the usage of this process, in the metrics of Prometheus.
func serveUsage(w http.ResponseWriter, _ *http.Request) {
	used := machine.Used()
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	fmt.Fprintf(w, "process_cpu_seconds_total %f\ngo_memstats_mallocs_total %d\n", used.ProcessorTime.Seconds(), memory.Mallocs)
}

// labNoop answers as a lab does, and does nothing.
var labNoop = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
	_, _ = io.WriteString(w, `{"status":"completed","receipt":"/receipts/x-1","error":null}`)
})

// freePort is an address for serve.
const freePort = "127.0.0.1:0"

// serve serves h at an address, whose URL it prints, until SIGTERM.
func serve(ctx context.Context, at string, h http.Handler) error {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM)
	defer stop()
	listener, err := net.Listen("tcp", at)
	if err != nil {
		return err
	}
	fmt.Printf("serving url=http://%s\n", listener.Addr())
	go func() { _ = http.Serve(listener, h) }()
	<-ctx.Done()
	return nil
}

// serveNATS serves a queue at an address, as serve does, and keeps its files in a directory.
func serveNATS(ctx context.Context, at, dir string) error {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM)
	defer stop()
	addr, err := net.ResolveTCPAddr("tcp", at)
	if err != nil {
		return err
	}
	port := addr.Port
	if port == 0 {
		port = nats.RANDOM_PORT
	}
	s, err := nats.NewServer(&nats.Options{Host: addr.IP.String(), Port: port, NoSigs: true, NoLog: true, JetStream: true, StoreDir: dir})
	if err != nil {
		return err
	}
	s.Start()
	defer s.Shutdown()
	if !s.ReadyForConnections(10 * time.Second) {
		return errors.New("the queue's server is not ready after 10s")
	}
	fmt.Printf("serving url=http://%s\n", s.Addr())
	<-ctx.Done()
	return nil
}

// server is a program that serves, in a process of its own.
type server struct {
	url   string
	cmd   *exec.Cmd
	crash chan string // what it printed when it crashed, once it has ended
}

// startServer starts a server and returns when it has printed "serving" and
// its URL.
func startServer(ctx context.Context, path string, args ...string) (*server, error) {
	cmd := exec.CommandContext(ctx, path, args...)
	out, in, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer in.Close()
	cmd.Stdout, cmd.Stderr = in, in
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	last, lines := "", bufio.NewScanner(out)
	for lines.Scan() {
		last = lines.Text()
		if _, url, ok := strings.Cut(last, "url=http://"); ok && strings.Contains(last, "serving") {
			s := &server{"http://" + strings.Fields(url)[0], cmd, make(chan string, 1)}
			go func() { // reads the log, so that the server never blocks on it
				defer out.Close()
				s.crash <- crashIn(lines)
				_, _ = io.Copy(io.Discard, out)
			}()
			return s, nil
		}
	}
	return nil, fmt.Errorf("%s ended before it served: %w: %s", path, cmd.Wait(), last)
}

// stop ends the server, and returns an error where it has crashed or doesn't end well.
func (s *server) stop() error {
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	err := s.cmd.Wait()
	if err == nil {
		return nil
	}
	select {
	case text := <-s.crash:
		return fmt.Errorf("%s: %w\n%s", s.cmd.Path, err, text)
	case <-time.After(time.Second): // a child of it has its output still
		return fmt.Errorf("%s: %w", s.cmd.Path, err)
	}
}

// crashIn returns what a Go program prints when it crashes, up to where the text gets long, "" for one that doesn't.
func crashIn(lines *bufio.Scanner) string {
	const most = 60
	var text []string
	for lines.Scan() {
		line := lines.Text()
		if crash := strings.HasPrefix(line, "panic: ") || strings.HasPrefix(line, "fatal error: "); crash || len(text) > 0 && len(text) < most {
			text = append(text, line)
		}
	}
	return strings.Join(text, "\n")
}
