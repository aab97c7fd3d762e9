package handlers_test

import (
	"context"
	"encoding/json"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"gotimeout/handlers"
)

// event is one of a stream, or a comment, which has no name.
type event struct {
	at   time.Duration // after the caller asked
	name string
	data string
}

// caller reads a stream and notes when each event came.
type caller struct {
	asked  time.Time
	header http.Header
	reads  int           // so many messages, and then none
	pause  time.Duration // until it reads on, 0 for never

	mu       sync.Mutex
	status   int
	events   []event
	deadline time.Time
}

const everything = 1 << 30

func newCaller(reads int) *caller {
	return &caller{asked: time.Now(), header: http.Header{}, reads: reads, status: http.StatusOK}
}

func (c *caller) Header() http.Header { return c.header }
func (c *caller) Flush()              {}

func (c *caller) WriteHeader(status int) { c.status = status }

func (c *caller) SetWriteDeadline(t time.Time) error {
	c.deadline = t
	return nil
}

// Write takes a message, which comes whole.
func (c *caller) Write(message []byte) (int, error) {
	if c.reads--; c.reads < 0 { // as a socket whose buffer is full
		if c.pause == 0 || c.pause > time.Until(c.deadline) {
			time.Sleep(time.Until(c.deadline))
			return 0, os.ErrDeadlineExceeded
		}
		time.Sleep(c.pause)
		c.reads = everything
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	e := event{at: time.Since(c.asked)}
	for line := range strings.Lines(string(message)) {
		field, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		switch field {
		case "event":
			e.name = value
		case "data":
			e.data = value
		}
	}
	c.events = append(c.events, e)
	return len(message), nil
}

// got returns the events so far.
func (c *caller) got() []event {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]event{}, c.events...)
}

// ask serves a stream to a caller until it ends.
func ask(ctx context.Context, routes http.Handler, path string) *caller {
	c := newCaller(everything)
	routes.ServeHTTP(c, request(ctx, http.MethodGet, path))
	return c
}

func data[T any](t *testing.T, e event) (v T) {
	t.Helper()
	if err := json.Unmarshal([]byte(e.data), &v); err != nil {
		t.Fatalf("%v in %s", err, e.data)
	}
	return v
}

// A stream is one for whoever lies between, and HEAD has its headers alone: it
// runs nothing, and listens to nothing.
func TestStreamHeaders(t *testing.T) {
	for _, path := range []string{"/race?delay=0", "/events"} {
		bubble(t, func(t *testing.T, lab *handlers.Lab) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			for _, method := range []string{http.MethodHead, http.MethodGet} {
				c := newCaller(everything)
				lab.Routes().ServeHTTP(c, request(ctx, method, path))
				for name, want := range map[string]string{"Content-Type": "text/event-stream", "Cache-Control": "no-store", "X-Accel-Buffering": "no"} {
					if got := c.header.Get(name); got != want {
						t.Errorf("%s %s: %s is %q, want %q", method, path, name, got, want)
					}
				}
				if events := c.got(); c.status != http.StatusOK || (len(events) == 0) != (method == http.MethodHead) {
					t.Errorf("%s %s: %d with %d events", method, path, c.status, len(events))
				}
				if runs := len(lab.Ledger.Last(1)); method == http.MethodHead && runs > 0 {
					t.Errorf("HEAD %s runs something", path)
				}
			}
		})
	}
}

// A lab that stops ends its streams at once, and those of a race whose runs
// can't be ended too.
func TestStopping(t *testing.T) {
	for _, path := range []string{"/race?delay=5h&ctx=deaf", "/race?delay=5h&times=100", "/events"} {
		bubble(t, func(t *testing.T, lab *handlers.Lab) {
			var stop context.CancelFunc
			lab.Stopping, stop = context.WithCancel(t.Context())
			time.AfterFunc(time.Minute, stop)
			c := ask(t.Context(), lab.Routes(), path)
			if d := time.Since(c.asked); d != time.Minute {
				t.Errorf("%s: ended after %v, want 1m", path, d)
			}
			settleSoon(t, lab)
		})
	}
}

// settleSoon waits for the runs that go on when their stream has ended.
func settleSoon(t *testing.T, lab *handlers.Lab) {
	t.Helper()
	time.Sleep(lab.Longest())
}
