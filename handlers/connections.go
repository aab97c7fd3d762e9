package handlers

import (
	"context"
	"fmt"
	"math"
	"net"
	"net/http"
	"sync"
	"time"

	"gotimeout/internal/receipt"
)

// refusals503 is how many connections over the bound are answered 503 at once. Further ones are closed:
// a client that sends no request would hold its connection for as long as a request may take.
const refusals503 = 8

// filesInChild is how many descriptors a process of a run needs here: its pipes, and the handle of the process.
const filesInChild = 4

// crowded is the context key of a connection over the bound.
type crowded struct{}

// CountConnections has the server count its connections, for boundConnections.
func (l *Lab) CountConnections(server *http.Server) {
	server.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		open := int(l.connections.Add(1))
		switch {
		case l.MaxConnections == 0 || open <= l.MaxConnections:
			return ctx
		case open > l.MaxConnections+min(refusals503, l.MaxConnections):
			l.logRefusal(ctx, l.tooManyConnections())
			_ = c.Close() // the server sees that, and counts it in ConnState
		}
		return context.WithValue(ctx, crowded{}, true)
	}
	server.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateClosed || state == http.StateHijacked {
			l.connections.Add(-1)
		}
	}
}

// boundConnections answers 503 on a connection over the bound, and closes the connection. Where half of the
// bound is in use, each answer closes its connection, so that idle ones don't shut out other clients.
func (l *Lab) boundConnections(next http.Handler) http.Handler {
	if l.MaxConnections == 0 {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if int(l.connections.Load()) > l.MaxConnections/2 {
			w.Header().Set("Connection", "close")
		}
		if r.Context().Value(crowded{}) == nil {
			next.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Connection", "close")
		w.Header().Set("Retry-After", "1")
		why := l.tooManyConnections()
		l.logRefusal(r.Context(), why)
		refuse(w, r, http.StatusServiceUnavailable, why.Code, why.Message)
	})
}

func (l *Lab) tooManyConnections() *receipt.Error {
	return &receipt.Error{Code: "too_many_connections", Message: fmt.Sprintf(
		"this lab has %d connections, the most that its limit of file descriptors allows (ulimit -n, LimitNOFILE=): try again in a second", l.MaxConnections)}
}

// filesOf returns how many descriptors a run of an op needs, outside nil for one in this process.
func filesOf(op *Op, outside Outside) uint8 {
	files := op.Files
	if outside != nil {
		files += filesInChild
	}
	return uint8(min(files, math.MaxUint8))
}

// refusedLog has the time of the last line of the log for each bound.
type refusedLog struct {
	mu   sync.Mutex
	last map[string]time.Time
}

// oneLineIn is how often the log names the same bound.
const oneLineIn = 10 * time.Second

// logRefusal logs which bound refused, once in a while for each: a flood of requests must be none of lines.
func (l *Lab) logRefusal(ctx context.Context, why *receipt.Error) {
	l.refused.mu.Lock()
	now := time.Now()
	last, before := l.refused.last[why.Code]
	quiet := before && now.Sub(last) < oneLineIn
	if !quiet {
		if l.refused.last == nil {
			l.refused.last = map[string]time.Time{}
		}
		l.refused.last[why.Code] = now
	}
	l.refused.mu.Unlock()
	if !quiet {
		l.Log.WarnContext(ctx, "refused: requests are answered with this code for now", "code", why.Code, "reason", why.Message)
	}
}
