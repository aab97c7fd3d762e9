package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/signal"
	"syscall"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/mccutchen/go-httpbin/v2/httpbin"
)

// bare serves the handler that a person would write: chi, context.WithTimeout
// and net/http, on the httpbin at base, or on one in this process as the lab's
// is.
func bare(ctx context.Context, base string) error {
	if base == "" {
		backend, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		go func() { _ = http.Serve(backend, httpbin.New()) }()
		base = "http://" + backend.Addr().String()
	}
	r := chi.NewRouter()
	r.Get("/bare", bareHandler(base))
	return serve(ctx, r)
}

// serve serves h on a free port, whose URL it prints, until SIGTERM.
func serve(ctx context.Context, h http.Handler) error {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM)
	defer stop()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Printf("serving url=http://%s\n", listener.Addr())
	go func() { _ = http.Serve(listener, h) }()
	<-ctx.Done()
	return nil
}

func bareHandler(base string) http.HandlerFunc {
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 1 << 20}}
	return func(w http.ResponseWriter, r *http.Request) {
		timeout, err := time.ParseDuration(r.URL.Query().Get("timeout"))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		ctx, cancel := context.WithTimeout(r.Context(), timeout)
		defer cancel()
		if err := get(ctx, client, base+"/delay/"+r.URL.Query().Get("delay")); err != nil {
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
