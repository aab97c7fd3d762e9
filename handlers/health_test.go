package handlers_test

import (
	"context"
	"errors"
	"net/http"
	"regexp"
	"testing"
	"time"

	"gotimeout/handlers"
)

func TestHealthz(t *testing.T) {
	w := get(t, newLab(roomy), "/healthz")
	checkStatus(t, w, http.StatusOK)
	if w.Body.String() != "ok\n" || w.Header().Get("Content-Type") != "text/plain; charset=utf-8" {
		t.Errorf("%q of %s", w.Body, w.Header().Get("Content-Type"))
	}
}

// twoBackends are one that is embedded and at work, and a real one.
func twoBackends(broken error) func(context.Context) []handlers.Backend {
	return func(context.Context) []handlers.Backend {
		db := handlers.Backend{Health: handlers.Health{Name: "db", Addr: "db.lan:3306", Ready: broken == nil}}
		if broken != nil {
			db.Error = broken.Error()
		}
		began := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
		return []handlers.Backend{
			{Health: handlers.Health{Name: "http", Embedded: true, Addr: "127.0.0.1:1", Ready: true},
				Working: []handlers.Job{{Receipt: "lab-1", Work: "GET /delay/5", Began: began}, {Work: "GET /delay/0", Began: began}}},
			db,
		}
	}
}

func TestReadyz(t *testing.T) {
	for name, tc := range map[string]struct {
		broken error
		status int
	}{
		"ready":  {nil, http.StatusOK},
		"broken": {errors.New("connection refused"), http.StatusServiceUnavailable},
	} {
		lab := newLab(roomy)
		lab.Backends = twoBackends(tc.broken)
		w := get(t, lab, "/readyz")
		checkStatus(t, w, tc.status)
		golden(t, "readyz-"+name+".json", w.Body.Bytes())
	}
}

func TestBackends(t *testing.T) {
	bubble(t, func(t *testing.T, lab *handlers.Lab) {
		lab.Backends = twoBackends(errors.New("connection refused"))
		go serve(lab, request(t.Context(), http.MethodGet, "/baseline?op=db&work=cpu&delay=5h"))
		get(t, lab, "/goroutine-abandon?delay=5h&timeout=1h")
		w := get(t, lab, "/backends")
		checkStatus(t, w, http.StatusOK)
		if n := read[struct{ Goroutines int }](t, w).Goroutines; n < 3 {
			t.Errorf("%d goroutines, want at least the test's and the two at work", n)
		}
		number := regexp.MustCompile(`"goroutines": \d+`)
		golden(t, "backends.json", number.ReplaceAll(w.Body.Bytes(), []byte(`"goroutines": 0`)))
	})
}

// The backends are asked with the caller's context.
func TestBackendsContext(t *testing.T) {
	for _, path := range []string{"/readyz", "/backends"} {
		lab := newLab(roomy)
		var got error
		lab.Backends = func(ctx context.Context) []handlers.Backend {
			got = ctx.Err()
			return nil
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		serve(lab, request(ctx, http.MethodGet, path))
		if got != context.Canceled {
			t.Errorf("%s: the context is not the caller's: %v", path, got)
		}
	}
}
