package handlers_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"gotimeout/handlers"
	"gotimeout/internal/badnet"

	"golang.org/x/net/html"
)

const networkLog = `{"type":"network-log","version":1,"profile":"delay=50ms","driver":"tun","seed":1,"started":"2026-11-29T00:00:00Z"}
{"from_ms":0,"to_ms":100,"up":{"sent_bytes":40,"sent_packets":1},"down":{"bytes":60,"packets":2,"delay_p50_ms":50,"delay_p99_ms":51}}
`

// The network is watched for as long as was asked for. The log is sent line by line, and the beginning of the page before
// its pictures.
func TestWatch(t *testing.T) {
	for target, want := range map[string]struct {
		lasts       time.Duration
		contentType string
		first, last string
	}{
		"/network/log":            {10 * time.Second, "application/x-ndjson", networkLog, networkLog},
		"/network/log?for=1.5":    {1500 * time.Millisecond, "application/x-ndjson", networkLog, networkLog},
		"/network/graph?for=60s":  {time.Minute, "text/html; charset=utf-8", "Watching the lab's network for 60 s.</p>\n", "</html>\n"},
		"/network/graph?for=1.25": {1250 * time.Millisecond, "text/html; charset=utf-8", "Watching the lab's network for 1.25 s.</p>\n", "</html>\n"},
	} {
		t.Run(target, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				lab, net := onNetwork(t)
				net.log = networkLog
				w, began := &halfway{ResponseRecorder: httptest.NewRecorder()}, time.Now()
				over := make(chan time.Duration)
				go func() {
					lab.Routes().ServeHTTP(w, request(t.Context(), http.MethodGet, target))
					over <- time.Since(began)
				}()
				synctest.Wait()
				if body := w.flushed(); !strings.HasSuffix(body, want.first) || net.watchers.Load() != 1 {
					t.Errorf("at first %d watch, and the answer is %s", net.watchers.Load(), body)
				}
				if lasts := <-over; lasts != want.lasts || net.watchers.Load() != 0 {
					t.Errorf("it took %s, want %s", lasts, want.lasts)
				}
				if body := w.Body.String(); !strings.HasSuffix(body, want.last) || w.Header().Get("Content-Type") != want.contentType {
					t.Errorf("%q, %s", w.Header(), body)
				}
			})
		})
	}
}

// halfway is an answer that can be read while it is written.
type halfway struct {
	*httptest.ResponseRecorder
	mu   sync.Mutex
	sent string
}

func (w *halfway) Flush() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sent = w.Body.String()
}

func (w *halfway) flushed() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.sent
}

// The page has the figures of the log, and loads nothing.
func TestWatchedPictures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lab, net := onNetwork(t)
		net.log = networkLog
		net.state.Backends = map[string]badnet.Path{"db": {Profile: "loss=1%"}}
		w := get(t, lab, "/network/graph?for=1s")
		root, err := html.Parse(w.Body)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := textOf(all(root, "h1")[0]), "A bad network: delay=50ms; db: loss=1%"; got != want {
			t.Errorf("the heading is %q, want %q", got, want)
		}
		if n, text := len(all(root, "svg")), textOf(root); n != 2 || !strings.Contains(text, "1 packet, 0 kB") || !strings.Contains(text, "51 ms") {
			t.Errorf("%d pictures: %s", n, text)
		}
		if policy := w.Header().Get("Content-Security-Policy"); !strings.HasPrefix(policy, "default-src 'none'; style-src 'unsafe-inline';") {
			t.Error(policy)
		}
	})
}

// Whoever can't watch is told why in one sentence, and nothing is watched.
func TestWatchRefuses(t *testing.T) {
	for target, want := range map[string]string{
		"/network/log?for=":              "for is empty: give it a value or leave it out",
		"/network/log?for=0":             "for=0 is too short: use 1s to 1m0s",
		"/network/graph?for=-1s":         "for=-1s is too short: use 1s to 1m0s",
		"/network/graph?for=999ms":       "for=999ms is too short: use 1s to 1m0s",
		"/network/log?for=61":            "for=61 is over this lab's cap: use at most 1m0s",
		"/network/log?for=1e9h":          "for=1e9h is no duration: write 250ms, 1.5s or plain seconds",
		"/network/log?for=soon":          "for=soon is no duration: write 250ms, 1.5s or plain seconds",
		"/network/log?for=1s&for=2s":     "for is given 2 times: give it once",
		"/network/graph?for=1s&op=db":    `there is no parameter "op": use for`,
		"/network/graph?four=1s":         `there is no parameter "four", did you mean for?`,
		"/network/log?for=1s&backend=db": `there is no parameter "backend": use for`,
	} {
		lab, net := onNetwork(t)
		w := get(t, lab, target)
		if checkRefused(t, w, "bad_parameter", want); w.Code != http.StatusBadRequest || net.watchers.Load() != 0 {
			t.Errorf("%s: status %d", target, w.Code)
		}
	}
	for name, test := range map[string]struct {
		change     func(*handlers.Lab, *fakeNetwork)
		code, want string
	}{
		"none":  {func(l *handlers.Lab, _ *fakeNetwork) { l.Network = nil }, "no_network", badnet.ErrNone.Error()},
		"netem": {func(_ *handlers.Lab, f *fakeNetwork) { f.state.Driver = "netem" }, "not_watchable", "the netem driver shows no packets: start the lab with --network-driver tun"},
		"proxy": {func(_ *handlers.Lab, f *fakeNetwork) { f.state.Driver = "proxy" }, "not_watchable", "the proxy driver shows no packets: start the lab with --network-driver tun"},
		"ended": {func(_ *handlers.Lab, f *fakeNetwork) { f.state.Ended = "its device was deleted" }, "not_watchable", "the network has ended, and has no packets: its device was deleted"},
	} {
		lab, net := onNetwork(t)
		test.change(lab, net)
		for _, path := range []string{"/network/log", "/network/graph"} {
			w := get(t, lab, path)
			if checkRefused(t, w, test.code, test.want); w.Code != http.StatusConflict {
				t.Errorf("%s: %s: status %d", name, path, w.Code)
			}
		}
		if page := browserText(t, lab); strings.Contains(page, "/network/graph") {
			t.Errorf("%s: the page offers a watch", name)
		}
	}
	lab, net := onNetwork(t)
	if w := serve(lab, request(t.Context(), http.MethodHead, "/network/log")); w.Code != http.StatusOK || net.watchers.Load() != 0 {
		t.Errorf("HEAD: status %d", w.Code)
	}
	if page := browserText(t, lab); !strings.Contains(page, `<a href="/network/graph"`) {
		t.Error("the page offers no watch")
	}
}

func browserText(t *testing.T, lab *handlers.Lab) string {
	t.Helper()
	r := request(t.Context(), http.MethodGet, "/")
	r.Header.Set("Accept", "text/html")
	return serve(lab, r).Body.String()
}

// A watch outlives the write timeout of the server. It ends when its caller leaves, and when the lab stops.
func TestWatchEnds(t *testing.T) {
	for name, end := range map[string]func(leave, stop context.CancelFunc){
		"leave": func(leave, _ context.CancelFunc) { leave() },
		"stop":  func(_, stop context.CancelFunc) { stop() },
		"over":  func(_, _ context.CancelFunc) {},
	} {
		t.Run(name, func(t *testing.T) {
			lab, net := onNetwork(t)
			net.log = networkLog
			stopping, stop := context.WithCancel(t.Context())
			defer stop()
			lab.Stopping = stopping
			server := httptest.NewUnstartedServer(lab.Routes())
			server.Config.WriteTimeout = 200 * time.Millisecond
			server.Start()
			lasts := map[bool]string{true: "1s", false: "60s"}[name == "over"]
			var watches []io.Reader
			ctx, leave := context.WithCancel(t.Context())
			defer leave()
			for _, path := range []string{"/network/log?for=", "/network/graph?for="} {
				r, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL+path+lasts, nil)
				if err != nil {
					t.Fatal(err)
				}
				resp, err := server.Client().Do(r)
				if err != nil {
					t.Fatal(err)
				}
				defer resp.Body.Close()
				watches = append(watches, resp.Body)
			}
			began := time.Now()
			end(leave, stop)
			for i, from := range watches {
				body, err := io.ReadAll(from)
				if whole := strings.HasSuffix(string(body), []string{networkLog, "</html>\n"}[i]); (err == nil) != (name != "leave") || err == nil && !whole {
					t.Errorf("%v: %s", err, body)
				}
			}
			server.Close() // waits for the answers
			if n, took := net.watchers.Load(), time.Since(began); n != 0 || took > 30*time.Second {
				t.Errorf("%d watch, after %s", n, took)
			}
		})
	}
}
