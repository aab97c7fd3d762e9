package slowops_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"gotimeout/slowops"
)

// httpOn returns the op http on a server with the handler.
func httpOn(t *testing.T, handler http.HandlerFunc) *slowops.HTTP {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	op := slowops.NewHTTP(server.URL, 0)
	t.Cleanup(op.Close)
	return op
}

func TestHTTPRequest(t *testing.T) {
	asked := make(chan string, 1)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		asked <- fmt.Sprintf("%s %s run=%s", r.Method, r.URL, r.Header.Get("Gotimeout-Run"))
	}))
	defer server.Close()
	for name, tt := range map[string]struct {
		base string
		call slowops.Call
		want string
	}{
		"plain":          {"", slowops.Call{Run: "a-1"}, "GET /delay/0 run=a-1"},
		"delay":          {"", slowops.Call{Delay: 300 * time.Millisecond}, "GET /delay/0.3 run="},
		"long delay":     {"", slowops.Call{Delay: time.Hour}, "GET /delay/3600 run="},
		"tiny delay":     {"", slowops.Call{Delay: time.Nanosecond}, "GET /delay/0.000000001 run="},
		"trailing slash": {"/", slowops.Call{}, "GET /delay/0 run="},
		"path":           {"/bin", slowops.Call{}, "GET /bin/delay/0 run="},
		"path and slash": {"/bin/", slowops.Call{}, "GET /bin/delay/0 run="},
		"deaf backend":   {"", slowops.Call{DeafBackend: true, Delay: time.Second}, "GET /deaf/delay/1 run="},
		"deaf client":    {"", slowops.Call{Deaf: true}, "GET /delay/0 run="},
	} {
		t.Run(name, func(t *testing.T) {
			op := slowops.NewHTTP(server.URL+tt.base, 0)
			defer op.Close()
			if err := op.Do(t.Context(), tt.call); err != nil {
				t.Fatal(err)
			}
			if got := <-asked; got != tt.want {
				t.Errorf("asked %q, want %q", got, tt.want)
			}
		})
	}
}

func TestHTTPStatusIsAnError(t *testing.T) {
	for _, status := range []int{201, 204, 302, 400, 418, 500, 503} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			op := httpOn(t, func(w http.ResponseWriter, r *http.Request) {
				if !strings.HasPrefix(r.URL.Path, "/delay/") {
					return // the request after the redirect
				}
				w.Header().Set("Location", "/elsewhere")
				w.WriteHeader(status)
			})
			seen := new(hooks)
			err := op.Do(t.Context(), seen.on(slowops.Call{}))
			if err == nil || !strings.Contains(err.Error(), fmt.Sprint(status)) {
				t.Errorf("got %v", err)
			}
			seen.want(t, 1, 0, 0)
		})
	}
}

func TestHTTPOverTheCap(t *testing.T) {
	s := pooled(t, 0)["http"]
	for _, deaf := range []bool{false, true} {
		err := s.do(t.Context(), slowops.Call{Delay: 2 * long, DeafBackend: deaf})
		if err == nil || !strings.Contains(err.Error(), "400") {
			t.Errorf("deaf backend %t: %v", deaf, err)
		}
	}
}

func TestHTTPBodyCutHalfWay(t *testing.T) {
	op := httpOn(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		fmt.Fprint(w, "ten bytes.")
		panic(http.ErrAbortHandler)
	})
	seen := new(hooks)
	err := op.Do(t.Context(), seen.on(slowops.Call{}))
	if err == nil || isTimeout(err) {
		t.Errorf("got %v", err)
	}
	eventually(t, "Closed", func() bool { return seen.closed.Load() == 1 })
	seen.want(t, 1, 0, 1)
}

// IOTimeout also covers the body: https://go.dev/issue/37916.
func TestHTTPIOTimeoutInTheBody(t *testing.T) {
	op := httpOn(t, func(w http.ResponseWriter, r *http.Request) {
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	})
	took, err := timed(t.Context(), op.Do, slowops.Call{IOTimeout: short})
	if !isTimeout(err) || took < short || took > patience {
		t.Errorf("%v after %s", err, took)
	}
}

func TestHTTPBadBase(t *testing.T) {
	for _, base := range []string{"", "127.0.0.1:80", "http://%zz", "ftp://127.0.0.1"} {
		if err := slowops.NewHTTP(base, 0).Do(t.Context(), slowops.Call{}); err == nil {
			t.Errorf("%q: no error", base)
		}
	}
}
