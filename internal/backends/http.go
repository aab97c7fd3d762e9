package backends

import (
	"encoding/json"
	"io"
	"log"
	"net/http"
	"time"

	"github.com/mccutchen/go-httpbin/v2/httpbin"
)

// runHeader carries a run's tag over HTTP.
const runHeader = "Gotimeout-Run"

// StartHTTP starts an httpbin with a handler beside it that httpbin lacks: GET /deaf/delay/{duration} answers after the
// duration and ignores that its client has left, where httpbin's /delay/{duration} stops.
func StartHTTP(o Options) (*Server, error) {
	s, err := listen("http", o)
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.Handle("/", httpbin.New(httpbin.WithMaxDuration(o.MaxDelay)))
	mux.Handle("GET /deaf/delay/{duration}", deafDelay(s, o.MaxDelay))

	server := &http.Server{
		Handler:           reported(s.jobs, mux),
		ReadHeaderTimeout: 10 * time.Second,
		ErrorLog:          log.New(io.Discard, "", 0),
	}
	// Neither server.Close nor Shutdown is called: the first does not wait, the second does not interrupt, and our Close
	// does both, because it owns the connections.
	s.running.Go(func() { _ = server.Serve(acceptor{s}) })
	return s, nil
}

// reported enters each request as a job for as long as next handles it.
func reported(jobs *ledger, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		end := jobs.begin(r.Header.Get(runHeader), r.Method+" "+r.URL.Path)
		defer end()
		next.ServeHTTP(w, r)
	})
}

func deafDelay(s *Server, longest time.Duration) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		delay, err := parseDelay(r.PathValue("duration"), longest)
		if err != nil {
			writeJSON(w, http.StatusBadRequest, map[string]any{
				"status_code": http.StatusBadRequest, "error": "Bad Request", "detail": err.Error(),
			})
			return
		}
		if err := pause(s.ctx, delay); err != nil { // not r.Context(): deaf on purpose
			return
		}
		writeJSON(w, http.StatusOK, map[string]any{"delay": delay.String(), "deaf": true})
	})
}

func writeJSON(w http.ResponseWriter, status int, value map[string]any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(value) // fails only when the client has left, and then nobody is there to be told
}
