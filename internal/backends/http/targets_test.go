package httpbackend_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"gotimeout/internal/backends"
	"gotimeout/internal/backends/backendtest"
	httpbackend "gotimeout/internal/backends/http"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func startTargets(t testing.TB, o backends.Options) *httpbackend.Targets {
	t.Helper()
	targets, err := httpbackend.StartTargets(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := targets.Close(); err != nil {
			t.Error(err)
		}
	})
	return targets
}

// seenOf returns the bytes that a client gets from a target, until none has come for
// quiet or the connection ends.
func seenOf(t *testing.T, url, path string, quiet time.Duration) (text string, end error) {
	t.Helper()
	_, addr, _ := strings.Cut(url, "://")
	c, err := net.DialTimeout("tcp", addr, quiet)
	if err != nil {
		return "", err
	}
	defer c.Close()
	_, _ = io.WriteString(c, "GET "+path+" HTTP/1.1\r\nHost: target\r\nGotimeout-Run: run\r\n\r\n")
	var got strings.Builder
	for buf := make([]byte, 1<<10); ; {
		_ = c.SetReadDeadline(time.Now().Add(quiet))
		n, err := c.Read(buf)
		got.Write(buf[:n])
		if err != nil {
			return got.String(), err
		}
	}
}

func TestTargets(t *testing.T) {
	t.Parallel()
	const quiet = 3 * time.Second
	targets := startTargets(t, backends.Options{MaxDelay: backendtest.Long})
	for name, want := range map[string]struct {
		path, begins, ends string
		err                error
	}{
		"ok":           {"/delay/0", "HTTP/1.1 200 OK\r\n", "\r\n\r\nok\n", io.EOF},
		"refused":      {"/delay/0", "", "", syscall.ECONNREFUSED},
		"silent":       {"/delay/0", "", "", os.ErrDeadlineExceeded},
		"slow-headers": {"/delay/0.1", "HTTP/1.1 200 OK\r\n", "\r\n\r\nok\n", io.EOF},
		"drip":         {"/delay/0.1", "HTTP/1.1 200 OK\r\n", "...", io.EOF},
		"stall":        {"/delay/0", "HTTP/1.1 200 OK\r\n", "half of the body", os.ErrDeadlineExceeded},
		"slow-tls":     {"/delay/0", "", "", os.ErrDeadlineExceeded},
		"reset":        {"/delay/0", "", "", syscall.ECONNRESET},
		"half-close":   {"/delay/0", "HTTP/1.1 200 OK\r\n", "half of the body", io.EOF},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := seenOf(t, targets.URLs[name], want.path, quiet)
			if !strings.HasPrefix(got, want.begins) || !strings.HasSuffix(got, want.ends) || !errors.Is(err, want.err) {
				t.Errorf("%q, then %v; want %q…%q, then %v", got, err, want.begins, want.ends, want.err)
			}
			if want.ends == "" && got != "" {
				t.Errorf("got %q, want nothing", got)
			}
		})
	}
}

// Every dial of the blackhole hangs, not only the first.
func TestBlackhole(t *testing.T) {
	url := startTargets(t, backends.Options{}).URLs["blackhole"]
	if url == "" {
		t.Skip("this system has no blackhole")
	}
	for range 3 {
		if got, err := seenOf(t, url, "/", 200*time.Millisecond); got != "" || !backendtest.IsTimeout(err) {
			t.Errorf("got %q, %v", got, err)
		}
	}
}

// The TLS targets answer over HTTP/2, with a certificate that Roots trusts.
func TestTargetsH2(t *testing.T) {
	t.Parallel()
	targets := startTargets(t, backends.Options{MaxDelay: backendtest.Long})
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: targets.Roots}, ForceAttemptHTTP2: true}
	t.Cleanup(transport.CloseIdleConnections)
	for name, want := range map[string]string{"ok-h2": "ok\n", "silent-h2": "", "drip-h2": "...", "stall-h2": "half of the body"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if !slices.ContainsFunc(targets.List, func(of httpbackend.Target) bool { return of.Name == name && of.TLS }) {
				t.Error("the list has the target without TLS")
			}
			within := 4 * time.Second // for the targets that never end
			if name == "ok-h2" || name == "drip-h2" {
				within = 20 * time.Second
			}
			ctx, cancel := context.WithTimeout(t.Context(), within)
			defer cancel()
			req, _ := http.NewRequestWithContext(ctx, "GET", targets.URLs[name]+"/delay/0.1", nil)
			resp, err := transport.RoundTrip(req)
			if want == "" {
				if !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("got %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			body, _ := io.ReadAll(bufio.NewReader(resp.Body))
			if resp.ProtoMajor != 2 || !strings.HasSuffix(string(body), want) {
				t.Errorf("%s %q, want HTTP/2 and …%q", resp.Proto, body, want)
			}
		})
	}
}

// A target reports its work, and stops when its client leaves or when the target is closed.
func TestTargetsReport(t *testing.T) {
	r := backendtest.NewRuns()
	targets := startTargets(t, r.Options())
	if _, err := seenOf(t, targets.URLs["silent"], "/delay/0", 2*time.Second); !backendtest.IsTimeout(err) {
		t.Error(err)
	}
	backendtest.Eventually(t, "ended with its client", r.HasEnded("run"))
	r.Balanced(t, "run")

	_, addr, _ := strings.Cut(targets.URLs["stall"], "://")
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_, _ = io.WriteString(c, "GET /delay/0 HTTP/1.1\r\nHost: target\r\nGotimeout-Run: closed\r\n\r\n")
	backendtest.Eventually(t, "began", r.HasBegun("closed"))
	if jobs := targets.Working(); len(jobs) != 1 || jobs[0].Work != "stall /delay/0" {
		t.Errorf("Working() = %+v", jobs)
	}
	if err := targets.Close(); err != nil {
		t.Error(err)
	}
	r.Balanced(t, "run", "closed")
}

func TestTargetOverTheCap(t *testing.T) {
	targets := startTargets(t, backends.Options{MaxDelay: time.Second})
	if got, _ := seenOf(t, targets.URLs["drip"], "/delay/2", 3*time.Second); !strings.Contains(got, " 400 ") || !strings.Contains(got, "over the cap of 1s") {
		t.Errorf("got %q", got)
	}
}

// slow-tls completes its handshake late.
func TestSlowTLSIsSlow(t *testing.T) {
	targets := startTargets(t, backends.Options{MaxDelay: 100 * time.Millisecond})
	client := http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: targets.Roots}, DisableKeepAlives: true}}
	start := time.Now()
	resp, err := client.Get(targets.URLs["slow-tls"] + "/delay/0")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, _ := io.ReadAll(resp.Body); string(body) != "ok\n" || time.Since(start) < 100*time.Millisecond {
		t.Errorf("%q after %s", body, time.Since(start))
	}
}

// The list has every target, in order, and the docs have the real pace of a drip.
func TestTargetsAreDescribed(t *testing.T) {
	targets := startTargets(t, backends.Options{})
	var names []string
	for _, target := range targets.List {
		names = append(names, target.Name)
	}
	if want := slices.Sorted(maps.Keys(targets.URLs)); !slices.Equal(names, want) {
		t.Errorf("the list has %v, the URLs are of %v", names, want)
	}
	pages, _ := filepath.Glob("../../../docs/*.md")
	said := 0
	for _, page := range append(pages, "../../../README.md") {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, found := range regexp.MustCompile(`a byte every (\d+) ms`).FindAllSubmatch(text, -1) {
			said++
			if pace := string(found[1]) + "ms"; pace != httpbackend.DripEvery.String() {
				t.Errorf("%s: a byte every %s, want %s", page, pace, httpbackend.DripEvery)
			}
		}
	}
	if said == 0 {
		t.Error("no page of the docs has the pace of a drip")
	}
}

// Whatever a client sends, a target answers with 200 or 400, or not at all where it was sent no request of HTTP. A path that the
// target refuses is refused by /deaf/delay too, with the same sentence of one line.
func FuzzTarget(f *testing.F) {
	const longest = time.Millisecond
	s := backendtest.Start(f, func(o backends.Options) (*backends.Server, error) { return backends.Listen("http", o) }, backends.Options{})
	deaf := httpbackend.DeafDelay(s, longest)
	for _, sent := range []string{
		"GET /delay/1us HTTP/1.1\r\nHost: a\r\nGotimeout-Run: run\r\n\r\n", "GET /delay/5 HTTP/1.1\r\nHost: a\r\n\r\n", "POST /delay/0 HTTP/1.0\r\nContent-Length: 99\r\n\r\nx",
		"GET /delay/-1 HTTP/1.1\r\n\r\n", "GET /delay/NaN HTTP/1.1\nTransfer-Encoding: chunked\n\nzz", "GET http://h/delay/%0a HTTP/1.1\r\n\r\n", "GET * HTTP/1.1\r\n\r\n", "CONNECT h:1 HTTP/1.1\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "",
	} {
		f.Add([]byte(sent))
	}
	f.Fuzz(func(t *testing.T, sent []byte) {
		c := backendtest.NewScript(sent)
		httpbackend.Converse(s, longest, c)
		if jobs := s.Working(); len(jobs) > 0 {
			t.Errorf("works on %v", jobs)
		}
		request, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(sent)))
		if err != nil {
			if len(c.Answers()) > 0 {
				t.Errorf("%q is no request (%v), and is answered %q", sent, err, c.Answers())
			}
			return
		}
		if len(c.Answers()) == 0 { // the client has left before the delay was over
			return
		}
		response, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(c.Answers())), nil)
		if err != nil {
			t.Fatalf("%v in %q", err, c.Answers())
		}
		body, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatalf("%v in %q", err, c.Answers())
		}
		w := httptest.NewRecorder()
		deaf(w, request, strings.TrimPrefix(request.URL.Path, "/delay/"))
		var answer struct{ Detail string }
		if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil {
			t.Error(err)
		}
		if response.StatusCode != w.Code || w.Code == http.StatusBadRequest && (string(body) != answer.Detail || strings.ContainsAny(answer.Detail, "\r\n")) {
			t.Errorf("%q: %d %q, and of /deaf/delay %d %q", sent, response.StatusCode, body, w.Code, answer.Detail)
		}
	})
}
