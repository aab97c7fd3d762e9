// Package httpbackend stands in for a slow HTTP service. [Start] starts an httpbin. [StartTargets] starts HTTP servers with one
// fault each, from an address where nobody listens to a body that ends halfway, for the timeouts of a call's phases.
//
// A run's tag is the header "Gotimeout-Run: ID". /delay stops when its client leaves, and /deaf/delay never notices that.
package httpbackend

import (
	"encoding/json"
	"io"
	"log"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/mccutchen/go-httpbin/v2/httpbin"

	"gotimeout/internal/backends"
)

// runHeader carries a run's tag over HTTP.
const runHeader = "Gotimeout-Run"

// Start starts an httpbin with one more handler: GET /deaf/delay/{duration} answers after the duration and ignores that its
// client has left, while httpbin's /delay/{duration} stops then.
func Start(o backends.Options) (*backends.Server, error) {
	s, err := backends.Listen("http", o)
	if err != nil {
		return nil, err
	}
	plain, deaf := httpbin.New(httpbin.WithMaxDuration(o.MaxDelay)), deafDelay(s, o.MaxDelay)
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if duration, ok := strings.CutPrefix(r.URL.Path, "/deaf/delay/"); ok && r.Method == http.MethodGet {
			deaf(w, r, duration)
			return
		}
		plain.ServeHTTP(w, r)
	})
	// There is no ReadHeaderTimeout: it would set two deadlines for each request, and the only client is the lab itself.
	server := &http.Server{Handler: reported(s, handler), ErrorLog: log.New(io.Discard, "", 0)}
	// Neither server.Close nor Shutdown is called: the first does not wait, the second does not interrupt. The Close of s does
	// both, because s owns the connections.
	s.Serve(func(l net.Listener) { _ = server.Serve(l) })
	return s, nil
}

// reported enters each request as a job for as long as next handles it.
func reported(s *backends.Server, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		end := s.Begin(r.Header.Get(runHeader), r.Method+" "+r.URL.Path)
		defer end()
		next.ServeHTTP(w, r)
	})
}

func deafDelay(s *backends.Server, longest time.Duration) func(_ http.ResponseWriter, _ *http.Request, duration string) {
	return func(w http.ResponseWriter, _ *http.Request, duration string) {
		delay, err := backends.ParseDelay(duration, longest)
		if err != nil {
			writeJSON(w, http.StatusBadRequest, map[string]any{
				"status_code": http.StatusBadRequest, "error": "Bad Request", "detail": err.Error(),
			})
			return
		}
		if err := backends.Pause(s.Context(), delay); err != nil { // not r.Context(), because the handler is deaf on purpose
			return
		}
		writeJSON(w, http.StatusOK, map[string]any{"delay": delay.String(), "deaf": true})
	}
}

func writeJSON(w http.ResponseWriter, status int, value map[string]any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(value) // fails only when the client has left, which needs no handling
}
