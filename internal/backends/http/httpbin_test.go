package httpbackend_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"gotimeout/internal/backends"
	"gotimeout/internal/backends/backendtest"
	httpbackend "gotimeout/internal/backends/http"
)

// get sends a request without keep-alive, so that no connection outlives the test.
func get(ctx context.Context, url, run string) (status int, body string, err error) {
	req, err := http.NewRequestWithContext(ctx, "GET", url, nil)
	if err != nil {
		return 0, "", err
	}
	req.Header.Set("Gotimeout-Run", run)
	req.Close = true
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	return res.StatusCode, string(data), err
}

func TestHTTPAnswers(t *testing.T) {
	r := backendtest.NewRuns()
	o := r.Options()
	o.MaxDelay = time.Second
	s := backendtest.Start(t, httpbackend.Start, o)
	for path, want := range map[string]struct {
		status int
		body   string
	}{
		"/delay/10ms":      {200, `"url"`},
		"/delay/2":         {400, "longer than 1s"},
		"/deaf/delay/10ms": {200, `{"deaf":true,"delay":"10ms"}`},
		"/deaf/delay/0.01": {200, `{"deaf":true,"delay":"10ms"}`},
		"/deaf/delay/2":    {400, "over the cap of 1s"},
		"/deaf/delay/-1":   {400, "negative"},
		"/deaf/delay/soon": {400, "bad duration"},
	} {
		status, body, err := get(t.Context(), "http://"+s.Addr+path, path)
		if err != nil {
			t.Fatal(err)
		}
		if status != want.status || !strings.Contains(body, want.body) || !json.Valid([]byte(body)) {
			t.Errorf("GET %s = %d %s; want %d with %s", path, status, body, want.status, want.body)
		}
		if !r.HasEnded(path)() {
			t.Errorf("GET %s: answered before Ended", path)
		}
	}
}

// leaveAfterBegan requests a path, and cancels the request after the backend has begun.
func leaveAfterBegan(t *testing.T, s *backends.Server, r *backendtest.Runs, path, run string) {
	t.Helper()
	ctx, leave := context.WithCancel(t.Context())
	done := make(chan error)
	go func() {
		_, _, err := get(ctx, "http://"+s.Addr+path, run)
		done <- err
	}()
	backendtest.Eventually(t, "began", r.HasBegun(run))
	leave()
	if err := <-done; err == nil {
		t.Error("answered before the client left")
	}
}

func TestDelayEndsWithItsClient(t *testing.T) {
	r := backendtest.NewRuns()
	s := backendtest.Start(t, httpbackend.Start, r.Options())
	leaveAfterBegan(t, s, r, "/delay/100", "gone")
	backendtest.Eventually(t, "ended", r.HasEnded("gone"))
	r.Balanced(t, "gone")
}

func TestDeafDelayOutlivesItsClient(t *testing.T) {
	r := backendtest.NewRuns()
	s := backendtest.Start(t, httpbackend.Start, r.Options())
	leaveAfterBegan(t, s, r, "/deaf/delay/100", "deaf")
	leaveAfterBegan(t, s, r, "/delay/100", "aware")
	backendtest.Eventually(t, "the aware one ended", r.HasEnded("aware"))
	if r.HasEnded("deaf")() {
		t.Error("the deaf backend noticed that its client has left")
	}
	if jobs := s.Working(); len(jobs) != 1 || jobs[0].Run != "deaf" || jobs[0].Work != "GET /deaf/delay/100" {
		t.Errorf("Working() = %+v", jobs)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	r.Balanced(t, "aware", "deaf")
	if jobs := s.Working(); len(jobs) != 0 {
		t.Errorf("Working() = %+v after Close", jobs)
	}
}

func TestDeafDelayWorksToItsEnd(t *testing.T) {
	r := backendtest.NewRuns()
	s := backendtest.Start(t, httpbackend.Start, r.Options())
	leaveAfterBegan(t, s, r, "/deaf/delay/100ms", "deaf")
	backendtest.Eventually(t, "ended by itself", r.HasEnded("deaf"))
	r.Balanced(t, "deaf")
}

func TestWorkingIsOldestFirst(t *testing.T) {
	r := backendtest.NewRuns()
	s := backendtest.Start(t, httpbackend.Start, r.Options())
	for _, run := range strings.Split("abcdefgh", "") {
		leaveAfterBegan(t, s, r, "/deaf/delay/100", run)
	}
	var order string
	for _, job := range s.Working() {
		order += job.Run
	}
	if order != "abcdefgh" {
		t.Errorf("the order is %q", order)
	}
}
