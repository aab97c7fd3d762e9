package handlers_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"gotimeout/handlers"
	"gotimeout/internal/golden"
)

type now struct {
	At       int64
	InFlight int `json:"in_flight"`
	Backends []struct {
		Name        string
		Connections *int
		TimeWait    *int `json:"time_wait"`
		ForNobody   *int `json:"for_nobody"`
	}
	Receipts []struct{ ID string }
	History  []now
}

// listen opens a stream for d, in the background.
func listen(t *testing.T, routes http.Handler, reads int, d time.Duration) *caller {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	c := newCaller(reads)
	go func() {
		defer cancel()
		routes.ServeHTTP(c, request(ctx, http.MethodGet, "/events"))
	}()
	synctest.Wait()
	return c
}

// watched counts how often the lab asks its backends.
func watched(lab *handlers.Lab) *atomic.Int32 {
	var looks atomic.Int32
	lab.Working = func() []handlers.Backend {
		looks.Add(1)
		return twoBackends(nil)(context.Background())
	}
	return &looks
}

// The first snapshot comes at once, and then one each second. One question to the
// backends serves all listeners.
func TestEvents(t *testing.T) {
	bubble(t, func(t *testing.T, lab *handlers.Lab) {
		looks := watched(lab)
		routes := lab.Routes()
		one := listen(t, routes, everything, 3500*time.Millisecond)
		other := listen(t, routes, everything, 2500*time.Millisecond)
		time.Sleep(10 * time.Second)
		if n := looks.Load(); n != 4 {
			t.Errorf("the backends were asked %d times, want 4: never without a listener", n)
		}
		first, second := one.got(), other.got()
		if len(first) != 4 || len(second) != 3 || first[0].data != second[0].data || first[1] != second[1] || first[2] != second[2] {
			t.Fatalf("%+v\n%+v", first, second)
		}
		for i, e := range first {
			if m := data[now](t, e); e.at != time.Duration(i)*time.Second || e.name != "now" || m.At != one.asked.Add(e.at).UnixMilli() || (m.History != nil) != (i == 0) {
				t.Errorf("%+v", e)
			}
		}
	})
}

// A snapshot has the work that goes on, and the work that goes on for nobody.
func TestMoment(t *testing.T) {
	bubble(t, func(t *testing.T, lab *handlers.Lab) {
		lab.Kernel = fakeKernel{}
		looks := watched(lab)
		routes := lab.Routes()
		routes.ServeHTTP(httptest.NewRecorder(), request(t.Context(), http.MethodGet, "/goroutine-abandon?delay=5h&timeout=1h")) // lab-1, on which http works
		go routes.ServeHTTP(httptest.NewRecorder(), request(t.Context(), http.MethodGet, "/baseline?op=db&work=cpu&delay=2h"))
		time.Sleep(hour)
		c := listen(t, routes, everything, time.Millisecond)
		number := regexp.MustCompile(`"goroutines":\d+`)
		text := number.ReplaceAllString(c.got()[0].data, `"goroutines":0`)
		golden.Check(t, "events.json", []byte(strings.ReplaceAll(text, `,"`, ",\n\"")+"\n"))
		if looks.Load() != 1 {
			t.Errorf("the backends were asked %d times", looks.Load())
		}

		lab.Kernel = fakeKernel{errors.New("no sock_diag here")}
		time.Sleep(hour)
		c = listen(t, routes, everything, time.Millisecond)
		if b := data[now](t, c.got()[0]).Backends[0]; b.Connections != nil || b.TimeWait != nil || *b.ForNobody != 1 {
			t.Errorf("%+v", b)
		}
		time.Sleep(2 * hour) // the backends still report the jobs, and the receipts are complete
		c = listen(t, routes, everything, time.Millisecond)
		if got := len(data[now](t, c.got()[0]).History); got != 0 {
			t.Errorf("the history has %d snapshots of hours ago", got)
		}
	})
}

// A job whose caller still waits is not reported as work for nobody.
func TestForSomebody(t *testing.T) {
	bubble(t, func(t *testing.T, lab *handlers.Lab) {
		watched(lab)
		routes := lab.Routes()
		go routes.ServeHTTP(httptest.NewRecorder(), request(t.Context(), http.MethodGet, "/baseline?delay=1h"))
		synctest.Wait()
		m := data[now](t, listen(t, routes, everything, time.Millisecond).got()[0])
		if n := m.Backends[0].ForNobody; n == nil || *n != 0 || m.Backends[1].ForNobody != nil || m.InFlight != 1 {
			t.Errorf("%+v", m)
		}
	})
}

// A later listener gets the snapshots of the last minute, without their receipts.
func TestHistory(t *testing.T) {
	bubble(t, func(t *testing.T, lab *handlers.Lab) {
		get(t, lab, "/baseline?delay=0")
		routes := lab.Routes()
		for _, of := range []struct {
			listen time.Duration
			want   int
		}{
			{10500 * time.Millisecond, 0},
			{90200 * time.Millisecond, 10}, // half a second later: its first snapshot is the last of the history
			{time.Millisecond, 60},
		} {
			c := listen(t, routes, everything, of.listen)
			time.Sleep(of.listen)
			first := data[now](t, c.got()[0])
			if len(first.History) != of.want || len(first.Receipts) != 1 {
				t.Errorf("%d snapshots and %d receipts, want %d and 1", len(first.History), len(first.Receipts), of.want)
			}
			last := int64(0)
			for _, m := range append(first.History, first) {
				if m.At <= last || m.At < first.At-60_000 || m.Receipts == nil || m.Backends == nil {
					t.Errorf("%+v after %d", m, last)
				}
				last = m.At
			}
		}
	})
}

// A listener that doesn't read is disconnected, and the others are not delayed.
func TestSlowListener(t *testing.T) {
	bubble(t, func(t *testing.T, lab *handlers.Lab) {
		routes := lab.Routes()
		slow := newCaller(2)
		gone := make(chan time.Duration, 1)
		go func() {
			routes.ServeHTTP(slow, request(t.Context(), http.MethodGet, "/events"))
			gone <- time.Since(slow.asked)
		}()
		other := listen(t, routes, everything, 59500*time.Millisecond)
		if d := <-gone; d != 12*time.Second { // the third write, at 2 s, and its timeout
			t.Errorf("disconnected after %v, want 12s", d)
		}
		time.Sleep(time.Minute)
		events := other.got()
		n := 0
		for _, e := range events {
			if e.name == "now" {
				if e.at != time.Duration(n)*time.Second {
					t.Errorf("event %d at %v", n, e.at)
				}
				n++
			}
		}
		if n != 60 {
			t.Errorf("%d events in a minute", n)
		}
	})
}

// A listener that reads on too late gets the messages that waited for it, and then its
// stream ends. When it connects again it gets the history.
func TestListenerReadsOn(t *testing.T) {
	bubble(t, func(t *testing.T, lab *handlers.Lab) {
		c := newCaller(2)
		c.pause = 8 * time.Second // before the third event, at 2 s
		lab.Routes().ServeHTTP(c, request(t.Context(), http.MethodGet, "/events"))
		if d, n := time.Since(c.asked), len(c.got()); d != 10*time.Second || n != 7 { // those of 0 s, 1 s and 2 s, and the four that waited
			t.Errorf("ended after %v with %d events, want 10s with 7", d, n)
		}
	})
}

// At most a thousand callers may listen; after one has left, another is accepted.
func TestTooManyListeners(t *testing.T) {
	bubble(t, func(t *testing.T, lab *handlers.Lab) {
		looks := watched(lab)
		routes := lab.Routes()
		listen(t, routes, everything, 1500*time.Millisecond)
		for range 999 {
			listen(t, routes, everything, 5*time.Second)
		}
		refused := func() *httptest.ResponseRecorder {
			w := httptest.NewRecorder()
			ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
			defer cancel()
			routes.ServeHTTP(w, request(ctx, http.MethodGet, "/events"))
			return w
		}
		w := refused()
		checkStatus(t, w, http.StatusServiceUnavailable)
		checkRefused(t, w, "too_many_listeners", "this lab may have 1000 listeners at once, and has no room for 1 more: try again later")
		if w.Header().Get("Retry-After") == "" {
			t.Error("no Retry-After")
		}
		time.Sleep(2500 * time.Millisecond)
		if n := looks.Load(); n != 3 {
			t.Errorf("a thousand listeners for two seconds: the backends were asked %d times, want 3", n)
		}
		checkStatus(t, refused(), http.StatusOK)
		time.Sleep(5 * time.Second)
	})
}

// Over a socket a stream outlives the server's write timeout, and the first message
// sets the client's time to reconnect.
func TestEventsOverTheWire(t *testing.T) {
	server := httptest.NewUnstartedServer(newLab(roomy).Routes())
	server.Config.ReadTimeout, server.Config.WriteTimeout = 200*time.Millisecond, 200*time.Millisecond
	server.Start()
	defer server.Close()
	resp, err := http.Get(server.URL + "/events")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	buf, text := make([]byte, 1<<14), ""
	for strings.Count(text, "event: now\n") < 3 {
		n, err := resp.Body.Read(buf)
		if err != nil {
			t.Fatalf("%v after\n%s", err, text)
		}
		text += string(buf[:n])
	}
	if !strings.HasPrefix(text, "retry: 2000\nevent: now\ndata: {") || strings.Count(text, "\n\n") != 3 {
		t.Errorf("\n%s", text)
	}
	for line := range strings.Lines(text) {
		if d, ok := strings.CutPrefix(line, "data: "); ok && !json.Valid([]byte(d)) {
			t.Errorf("not JSON: %s", d)
		}
	}
	http.DefaultClient.CloseIdleConnections()
}

// event is an event of a stream, or a comment: a comment has no name.
type event struct {
	at   time.Duration // after the caller asked
	name string
	data string
}

// caller reads a stream and notes when each event came.
type caller struct {
	asked  time.Time
	header http.Header
	reads  int           // the number of messages that the caller reads before it pauses
	pause  time.Duration // how long the caller pauses; 0 is for ever

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

// Write takes one whole message.
func (c *caller) Write(message []byte) (int, error) {
	if c.reads--; c.reads < 0 { // blocks, as a socket with a full buffer does
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

// The headers tell proxies that the response is a stream. HEAD has the headers alone,
// and neither starts a run nor listens.
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
					t.Errorf("HEAD %s starts a run", path)
				}
			}
		})
	}
}

// A lab that stops ends its streams at once, also the stream of a race whose runs
// can't be cancelled.
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

// settleSoon waits for the runs that go on after their stream has ended.
func settleSoon(t *testing.T, lab *handlers.Lab) {
	t.Helper()
	time.Sleep(lab.Bounds().Run)
}
