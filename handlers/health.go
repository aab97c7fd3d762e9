package handlers

import (
	"io"
	"net/http"
	"runtime"
	"time"
)

// Health is how a backend is.
type Health struct {
	Name     string `json:"name"`
	Embedded bool   `json:"embedded"`
	Addr     string `json:"addr"`
	Ready    bool   `json:"ready"`
	Error    string `json:"error,omitempty"`
}

// Backend is a backend and what it is working on.
type Backend struct {
	Health
	Working []Job `json:"working"` // null where nobody can see it
}

// Job is what a backend is working on.
type Job struct {
	Receipt string    `json:"receipt,omitempty"`
	Work    string    `json:"work"`
	Began   time.Time `json:"began"`
}

// healthz says that the process serves.
func healthz(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = io.WriteString(w, "ok\n")
}

// readyz answers 503 where a backend does not answer, and names it.
func (l *Lab) readyz(w http.ResponseWriter, r *http.Request) {
	status, health := http.StatusOK, []Health{}
	for _, b := range l.Backends(r.Context()) {
		health = append(health, b.Health)
		if !b.Ready {
			status = http.StatusServiceUnavailable
		}
	}
	writeJSON(w, r, status, map[string]any{"ready": status == http.StatusOK, "backends": health})
}

// backends answers what each backend is working on now, and what goes on here.
func (l *Lab) backends(w http.ResponseWriter, r *http.Request) {
	writeJSON(w, r, http.StatusOK, map[string]any{
		"counts": l.Ledger.Counts(), "goroutines": runtime.NumGoroutine(), "backends": l.Backends(r.Context()),
	})
}
