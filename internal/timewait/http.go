package timewait

import (
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"sync"
	"time"
)

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
