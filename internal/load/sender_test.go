package load_test

import (
	"context"
	"encoding/json"
	"flag"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gotimeout/internal/load"
	"gotimeout/internal/results"
	"gotimeout/internal/stats"

	"go.uber.org/goleak"
)

// A request is sent when it is due, although earlier requests have no answer yet, and its
// time counts from when it was due.
func TestLoadIsOpen(t *testing.T) {
	const requests = 20
	var arrived sync.WaitGroup
	arrived.Add(requests)
	lab := labOf(t, func(w http.ResponseWriter, _ *http.Request) {
		arrived.Done()
		arrived.Wait() // no request is answered before the last has arrived
		_, _ = io.WriteString(w, `{"status":"completed","receipt":"/receipts/x-1","error":null}`)
	})
	all, err := load.SendAll(t.Context(), lab, 5*time.Millisecond, 0, requests, "/a", "/b")
	if err != nil || len(all) != requests {
		t.Fatalf("%d answers, %v", len(all), err)
	}
	due := map[float64]bool{}
	for _, r := range all {
		due[r.At] = true
		if r.Status != "completed" || r.Receipt != "x-1" || r.Code != "" {
			t.Errorf("%+v", r)
		}
		// The last request is due 95 ms after the first.
		if least := 5*(requests-1) - r.At; r.Answered < least {
			t.Errorf("due at %v ms, answered after %v, want at least %v", r.At, r.Answered, least)
		}
	}
	for n := range requests {
		if !due[float64(5*n)] {
			t.Errorf("no request was due at %d ms: %v", 5*n, due)
		}
	}
}

// The requests take the paths in turn, and the requests of the warm-up are not kept.
func TestLoadTakesTurns(t *testing.T) {
	var served atomic.Int32
	lab := labOf(t, func(w http.ResponseWriter, _ *http.Request) {
		served.Add(1)
		_, _ = io.WriteString(w, `{"status":"timed_out","receipt":"/receipts/x-1","error":{"code":"timed_out"}}`)
	})
	all, err := load.SendAll(t.Context(), lab, time.Millisecond, 10, 30, "/a", "/a", "/b")
	if err != nil {
		t.Fatal(err)
	}
	slow := 0
	for _, r := range all {
		if r.At < 0 || r.Status != "timed_out" || r.Code != "timed_out" {
			t.Errorf("%+v", r)
		}
		if r.Delay == 2 { // the delay of the third path
			slow++
		}
	}
	if len(all) != 30 || served.Load() != 40 || slow != 10 {
		t.Errorf("%d kept, %d served, %d of the slow path", len(all), served.Load(), slow)
	}
}

// Every request has an outcome.
func TestLoadOutcomes(t *testing.T) {
	for path, want := range map[string]results.Request{
		"/refused": {Status: "refused", Code: "too_many_in_flight"},
		"/html":    {Status: "failed", Code: "http_404"},
		"/gone":    {Status: "failed", Code: "no_answer"},
	} {
		lab := labOf(t, func(w http.ResponseWriter, r *http.Request) {
			switch r.URL.Path {
			case "/refused":
				w.WriteHeader(http.StatusServiceUnavailable)
				_, _ = io.WriteString(w, `{"status":"refused","receipt":null,"error":{"code":"too_many_in_flight"}}`)
			case "/html":
				http.NotFound(w, r)
			default:
				panic(http.ErrAbortHandler)
			}
		})
		all, err := load.SendAll(t.Context(), lab, time.Millisecond, 0, 3, path)
		if err != nil || len(all) != 3 {
			t.Fatalf("%s: %d answers, %v", path, len(all), err)
		}
		for _, r := range all {
			if r.Status != want.Status || r.Code != want.Code || r.Receipt != "" {
				t.Errorf("%s: %+v", path, r)
			}
		}
	}
}

// An interrupted load returns the answers to all requests that it has sent.
func TestLoadInterrupted(t *testing.T) {
	ctx, interrupt := context.WithCancel(t.Context())
	var served atomic.Int32
	lab := labOf(t, func(w http.ResponseWriter, _ *http.Request) {
		if served.Add(1) == 10 {
			interrupt()
		}
		_, _ = io.WriteString(w, `{"status":"completed"}`)
	})
	all, err := load.SendAll(ctx, lab, 5*time.Millisecond, 0, 100_000, "/a")
	if err != nil || len(all) != int(served.Load()) || len(all) < 10 || len(all) > 1000 {
		t.Errorf("%d answers of %d served, %v", len(all), served.Load(), err)
	}
}

// BenchmarkSend sends as fast as the answers come, to a server that does nothing.
func BenchmarkSend(b *testing.B) {
	lab := noop(b)
	b.ResetTimer()
	all, err := load.SendAll(b.Context(), lab, 0, 0, b.N, "/")
	if err != nil || len(all) != b.N {
		b.Fatal(len(all), err)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "requests/s")
}

// BenchmarkSchedule sends 2,000 requests a second, to a server that does nothing,
// and measures how late they are sent.
func BenchmarkSchedule(b *testing.B) {
	const warmUp = 500
	lab := noop(b)
	b.ResetTimer()
	all, err := load.SendAll(b.Context(), lab, time.Second/2000, warmUp, b.N, "/")
	if err != nil || len(all) != b.N {
		b.Fatal(len(all), err)
	}
	var late []float64
	for _, r := range all {
		late = append(late, r.Late)
	}
	slices.Sort(late)
	b.ReportMetric(stats.Percentile(late, 99), "p99-ms-late")
	within, _ := slices.BinarySearch(late, 5)
	b.ReportMetric(100*float64(within)/float64(b.N), "%-within-5ms")
}

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// labOf serves a lab for the test.
func labOf(t *testing.T, serve http.HandlerFunc) *load.Lab {
	t.Helper()
	server := httptest.NewServer(serve)
	t.Cleanup(server.Close)
	lab, err := load.OpenLab(server.URL+"/", "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(lab.Close)
	return lab
}

// atURL is the URL of a server in another process, as scripts/bench starts one.
var atURL = flag.String("url", "", "URL of the server that the benchmarks send to; one in this process if empty")

// noop is a server that does nothing and answers as a lab does.
func noop(tb testing.TB) *load.Lab {
	tb.Helper()
	url := *atURL
	if url == "" {
		url = noopHere(tb)
	}
	lab, err := load.OpenLab(url, "")
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(lab.Close)
	return lab
}

func noopHere(tb testing.TB) string {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"status":"completed","receipt":"/receipts/x-1","error":null}`)
	}))
	tb.Cleanup(server.Close)
	return server.URL
}

// Whatever a server answers, a request has an outcome, which the results keep as it is; and an answer that is neither
// a run's nor a refusal has an error with a sentence.
func FuzzAnswer(f *testing.F) {
	for body, code := range map[string]uint16{
		"": 0, `{"status":"completed","receipt":"/receipts/lab-1"}`: 200, `{"status":"timed_out","error":{"code":"timeout","message":"late"}}`: 504,
		`{"status":"refused","error":{"code":"too_many_in_flight","message":"try again"}}`: 503, `{"error":{}}`: 429, `{"error":null}`: 400,
		"<html>502 Bad Gateway</html>": 502, `{"status":"x\ny","receipt":""}`: 200, `[]`: 204, "null": 302, `{"status":"completed"} {`: 200,
	} {
		f.Add(code, []byte(body))
	}
	f.Fuzz(func(t *testing.T, code uint16, body []byte) {
		r := load.ReadAnswer(code, body)
		if r.Status == "" || code == 0 && r.Code != results.NoAnswer {
			t.Errorf("%d %q: no outcome: %+v", code, body, r)
		}
		text, err := json.Marshal(r)
		var again results.Request
		if err != nil || json.Unmarshal(text, &again) != nil || again != r {
			t.Errorf("%d %q: the results keep %+v of %+v: %v", code, body, again, r, err)
		}
		err = load.Refusal(int(code), body)
		if run := code < 300 || code == http.StatusBadGateway || code == http.StatusGatewayTimeout; run != (err == nil) || err != nil && err.Error() == "" {
			t.Errorf("%d %q: refused by %q", code, body, err)
		}
	})
}
