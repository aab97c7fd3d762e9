package handlers_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"gotimeout/handlers"
	"gotimeout/internal/golden"
	"gotimeout/internal/receipt"
	"gotimeout/internal/wire"
	"gotimeout/slowops"
)

// The tables are exact in a bubble. The table is answered after all work has ended,
// also where work goes on after the answers.
func TestCompare(t *testing.T) {
	for name, tc := range map[string]struct {
		query string
		after time.Duration
	}{
		"aware":   {"", 5 * time.Second},
		"deaf":    {"ctx=deaf&delay=10&timeout=250ms", 10 * time.Second},
		"all":     {"op=all&ctx=deaf&delay=9.5s&timeout=1500ms&backend=deaf&work=sleep", 9500 * time.Millisecond},
		"unseen":  {"op=cache", 0},
		"minutes": {"op=all&ctx=aware&delay=1m30.5s&timeout=1m1.5s&backend=aware&work=sleep", 90500 * time.Millisecond},
		"fails":   {"op=fails", 0},
		"panics":  {"op=panics", 0},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, lab *handlers.Lab) {
				lab.Strategies = exact(lab.Strategies)
				start := time.Now()
				w := get(t, lab, "/compare?"+tc.query)
				if d := time.Since(start); d != tc.after {
					t.Errorf("took %v, want %v", d, tc.after)
				}
				checkCounts(t, lab, none)
				checkTable(t, w.Result(), w.Body.String())
				golden.Check(t, "compare-"+name+".txt", w.Body.Bytes())
			})
		})
	}
}

// checkTable checks that a table fits a terminal.
func checkTable(t *testing.T, r *http.Response, body string) {
	t.Helper()
	if got := r.Header.Get("Content-Type"); r.StatusCode != 200 || got != "text/plain; charset=utf-8" {
		t.Errorf("status %d, Content-Type %q", r.StatusCode, got)
	}
	for line := range strings.Lines(body) {
		if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > 80 {
			t.Errorf("a line of %d columns: %s", n, line)
		}
	}
}

// A strategy with Only refuses other ops, and /compare and /race leave it out for them.
func TestOnly(t *testing.T) {
	bubble(t, func(t *testing.T, lab *handlers.Lab) {
		lab.Strategies[1].Only = []string{"cache", "cpu"}
		name := lab.Strategies[1].Name
		w := get(t, lab, "/"+name+"?op=http")
		checkStatus(t, w, http.StatusBadRequest)
		if want := "op=http makes no sense under " + name + ": use op=cache or cpu"; !strings.Contains(w.Body.String(), want) {
			t.Errorf("%s lacks %q", w.Body, want)
		}
		for _, query := range []string{"?op=cache", ""} { // the default is the first op that it suits
			if slow := read[wire.Answer](t, get(t, lab, "/"+name+query)).Slow; slow == nil || *slow != "cache" {
				t.Errorf("%s%s ran op %v", name, query, slow)
			}
		}
		for op, suits := range map[string]bool{"http": false, "cache": true} {
			for _, path := range []string{"/compare", "/race"} {
				body := get(t, lab, path+"?delay=0&op="+op).Body.String()
				if got := strings.Contains(body, name); got != suits {
					t.Errorf("%s of op=%s has %s: %t", path, op, name, got)
				}
			}
		}
	})
}

// The error of an op may have several lines and any length.
func TestCompareLongError(t *testing.T) {
	bubble(t, func(t *testing.T, lab *handlers.Lab) {
		lab.Ops[4].Prepare = func(context.Context, slowops.Call) error {
			return errors.New(strings.Repeat("it went wrong, ", 10) + "\nand that was all")
		}
		w := get(t, lab, "/compare?op=fails")
		checkTable(t, w.Result(), w.Body.String())
		if got := strings.Join(strings.Fields(w.Body.String()), " "); !strings.Contains(got, "baseline: it went wrong, it went wrong") ||
			!strings.Contains(got, "wrong, and that was all") {
			t.Errorf("the error is not whole in\n%s", w.Body)
		}
	})
}

type rows struct {
	Rows []receipt.View `json:"rows"`
}

func compareJSON(t *testing.T, lab *handlers.Lab, accept, query string) []receipt.View {
	t.Helper()
	r := request(t.Context(), http.MethodGet, "/compare?"+query)
	r.Header.Set("Accept", accept)
	w := serve(lab, r)
	checkStatus(t, w, http.StatusOK)
	return read[rows](t, w).Rows
}

func TestCompareJSON(t *testing.T) {
	for _, accept := range []string{"application/json", "text/html;q=0.5, application/json", "application/json; q=1"} {
		bubble(t, func(t *testing.T, lab *handlers.Lab) {
			got := compareJSON(t, lab, accept, "delay=5h&timeout=1h")
			for i, s := range suiting(lab, "http") {
				v, want := got[i], matrix[s.Name].aware
				if v.Name != s.Name || !v.Complete || *v.Answered != float64(want.answered/time.Millisecond) || *v.BackendEnded != want.backend {
					t.Errorf("row %d: %+v, want %s with %+v", i, v, s.Name, want)
				}
				if lab.Ledger.Get(v.ID) == nil {
					t.Errorf("no receipt %q", v.ID)
				}
			}
		})
	}
}

// A comparison in which no run was accepted is refused like a run.
func TestCompareRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lab := newLab(receipt.Limits{InFlight: 9, Abandoned: 1, Busy: 9})
		get(t, lab, "/goroutine-abandon?delay=5h")
		w := get(t, lab, "/compare")
		checkStatus(t, w, http.StatusServiceUnavailable)
		if w.Header().Get("Retry-After") == "" || read[wire.Answer](t, w).Error.Code != "too_many_abandoned" {
			t.Errorf("%v %s", w.Header(), w.Body)
		}
		settle(t, lab)
	})
}

// At the limit some runs are accepted. The rows of the others have the reason of the
// refusal.
func TestCompareRefusedInPart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lab := newLab(receipt.Limits{InFlight: 2, Abandoned: 9, Busy: 9})
		refused := 0
		for _, v := range compareJSON(t, lab, "application/json", "") {
			if *v.Status == receipt.Refused {
				refused++
				checkError(t, v, receipt.Refused, receipt.Error{Code: "too_many_in_flight",
					Message: "too many runs are in flight in this lab (--max-in-flight): try again in a second"})
			}
		}
		w := get(t, lab, "/compare")
		checkTable(t, w.Result(), w.Body.String())
		if want := len(suiting(lab, "http")) - 2; refused != want {
			t.Errorf("%d refused, want %d", refused, want)
		}
		settle(t, lab)
	})
}

// The handler doesn't wait after its caller has left; the receipts have the runs that go on.
func TestCompareCallerGone(t *testing.T) {
	bubble(t, func(t *testing.T, lab *handlers.Lab) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		start := time.Now()
		serve(lab, request(ctx, http.MethodGet, "/compare?delay=5h&timeout=1h"))
		if d := time.Since(start); d != time.Minute {
			t.Errorf("took %v, want 1m", d)
		}
		synctest.Wait() // for the op that leaves at the same time as its caller
		checkCounts(t, lab, receipt.Counts{Abandoned: 1})
	})
}
