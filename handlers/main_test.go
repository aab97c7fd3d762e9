package handlers_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gotimeout/handlers"
	"gotimeout/internal/receipt"
	"gotimeout/internal/wire"
	"gotimeout/slowops"
	"gotimeout/strategies"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	roomy = receipt.Limits{InFlight: 1000, Abandoned: 1000, Busy: 1000}
	none  receipt.Counts
)

// newLab returns a lab of fake ops. The strategies keep timers, so a lab for a bubble
// must be made in the bubble.
func newLab(limits receipt.Limits) *handlers.Lab {
	lab := &handlers.Lab{
		Strategies: strategies.All(),
		Ledger:     receipt.NewLedger("lab", 50, limits),
		MaxDelay:   10 * time.Hour,
		MaxTimeout: 6 * time.Hour,
		Backends:   func(context.Context) []handlers.Backend { return nil },
		Log:        slog.New(slog.DiscardHandler),
	}
	lab.Ops = fakeOps(lab.Ledger)
	return lab
}

// exact returns the strategies without those whose op may be left at the answer or not.
func exact(all []strategies.Strategy) []strategies.Strategy {
	return slices.DeleteFunc(all, func(s strategies.Strategy) bool { return matrix[s.Name].aware.left == oneOrNone })
}

// suiting returns the lab's strategies for an op.
func suiting(lab *handlers.Lab, op string) []strategies.Strategy {
	return slices.DeleteFunc(slices.Clone(lab.Strategies), func(s strategies.Strategy) bool { return !s.Suits(op) })
}

// bubble runs a test on a lab in a synctest bubble, and checks that the counts are zero
// after all runs have ended.
func bubble(t *testing.T, test func(t *testing.T, lab *handlers.Lab)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		lab := newLab(roomy)
		test(t, lab)
		settle(t, lab)
	})
}

// settle waits until the last runs have ended, because time in a bubble moves only
// while the test waits.
func settle(t *testing.T, lab *handlers.Lab) {
	t.Helper()
	for _, rc := range lab.Ledger.Last(lab.Ledger.Size()) {
		rc.Wait(t.Context())
	}
	checkCounts(t, lab, none)
}

func checkCounts(t *testing.T, lab *handlers.Lab, want receipt.Counts) {
	t.Helper()
	if got := lab.Ledger.Counts(); got != want {
		t.Errorf("counts %+v, want %+v", got, want)
	}
}

func request(ctx context.Context, method, target string) *http.Request {
	return requestWith(ctx, method, target, "")
}

func requestWith(ctx context.Context, method, target, body string) *http.Request {
	r := httptest.NewRequestWithContext(ctx, method, target, strings.NewReader(body))
	r.Header.Set("User-Agent", "curl/8.5.0")
	return r
}

// serve serves a request without a socket.
func serve(lab *handlers.Lab, r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	lab.Routes().ServeHTTP(w, r)
	return w
}

func get(t *testing.T, lab *handlers.Lab, target string) *httptest.ResponseRecorder {
	t.Helper()
	return serve(lab, request(t.Context(), http.MethodGet, target))
}

func checkStatus(t *testing.T, w *httptest.ResponseRecorder, want int) {
	t.Helper()
	if w.Code != want {
		t.Fatalf("status %d, want %d:\n%s", w.Code, want, w.Body)
	}
}

func read[T any](t *testing.T, w *httptest.ResponseRecorder) (v T) {
	t.Helper()
	if got := w.Header().Get("Content-Type"); got != "application/json; charset=utf-8" {
		t.Errorf("Content-Type %q", got)
	}
	if got := w.Header().Get("Content-Length"); got != "" && got != strconv.Itoa(w.Body.Len()) { // a stream has none
		t.Errorf("Content-Length %q of %d bytes", got, w.Body.Len())
	}
	if err := json.Unmarshal(w.Body.Bytes(), &v); err != nil {
		t.Fatalf("%v in\n%s", err, w.Body)
	}
	return v
}

// view reads the receipt of an answer.
func view(t *testing.T, lab *handlers.Lab, w *httptest.ResponseRecorder) receipt.View {
	t.Helper()
	path := read[wire.Answer](t, w).Receipt
	if path == nil {
		t.Fatalf("no receipt in\n%s", w.Body)
	}
	r := get(t, lab, *path)
	checkStatus(t, r, http.StatusOK)
	return read[receipt.View](t, r)
}

const cacheNoDelay = "a real memcached has no slow command; make the network to it slow instead"

var errOp = errors.New("the backend said no")

// fakeOps are ops that only wait, and report to the ledger as backends do.
func fakeOps(l *receipt.Ledger) []handlers.Op {
	slow := func(ctx context.Context, c slowops.Call) error { return slowOp(ctx, l, c) }
	computes := func(c slowops.Call) bool { return c.Work == "cpu" && c.Delay > 0 }
	fails := func(context.Context, slowops.Call) error {
		return errOp
	}
	panics := func(context.Context, slowops.Call) error {
		panic("boom")
	}
	return []handlers.Op{
		{Name: "http", Doc: "Waits.", Noun: "the HTTP server", Dials: true, Backends: []string{"aware", "deaf"}, Reports: 1, Seen: true, Parts: parts(slow)},
		{Name: "cache", Doc: "Is never slow.", Dials: true, NoDelay: cacheNoDelay, Parts: parts(slow)},
		{Name: "db", Doc: "Waits, or computes.", Noun: "the database", First: true, Verbs: map[string]string{"cpu": "computed"}, Dials: true, Works: []string{"sleep", "cpu"}, Reports: 1, Seen: true, Busy: computes, Parts: parts(slow)},
		{Name: "all", Doc: "Three <at> once.", Dials: true, Works: []string{"sleep", "cpu"}, Backends: []string{"aware", "deaf"},
			Reports: 3, Seen: true, Parts: parts(slow, slow, slow)},
		{Name: "fails", Doc: "Fails.", Parts: parts(fails)},
		{Name: "panics", Doc: "Panics.", Parts: parts(panics)},
	}
}

func parts(parts ...handlers.Part) []handlers.Part { return parts }

// slowOp is a call of a client with a timeout of its own. Its backend stops when the
// client leaves, unless the backend is deaf.
func slowOp(ctx context.Context, l *receipt.Ledger, c slowops.Call) error {
	c.Dialed()
	defer c.Closed("fin_by_us", netip.AddrPort{}, netip.AddrPort{})
	rc := l.Get(c.Run)
	rc.BackendBegan()
	if c.DeafBackend {
		time.AfterFunc(c.Delay, rc.BackendEnded)
	} else {
		defer rc.BackendEnded()
	}
	if c.Deaf {
		ctx = context.Background()
	}
	d := c.Delay
	for _, bound := range []time.Duration{c.IOTimeout, c.ServerLimit, c.KillAfter} {
		if bound > 0 && (c.Deaf || c.KillAfter == 0) { // a context comes before a kill
			d = min(d, bound)
		}
	}
	select {
	case <-time.After(d):
	case <-ctx.Done():
		return ctx.Err()
	}
	if d < c.Delay {
		return fmt.Errorf("read: %w", os.ErrDeadlineExceeded)
	}
	return nil
}
