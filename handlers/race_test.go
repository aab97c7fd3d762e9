package handlers_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"gotimeout/handlers"
	"gotimeout/internal/golden"
	"gotimeout/internal/receipt"
	"gotimeout/slowops"
)

type raceRun struct {
	Name     string
	N        int
	Receipt  string
	Status   *receipt.Status
	Answered *float64 `json:"answered_ms"`
	Ended    *float64 `json:"ended_ms"`
	Complete bool
	Error    *receipt.Error
	Left     string
}

// runs returns the events of each run, in their order.
func runs(t *testing.T, c *caller) map[string][]event {
	t.Helper()
	of := map[string][]event{}
	for _, e := range c.got() {
		if e.name == "run" {
			run := data[raceRun](t, e)
			key := fmt.Sprint(run.Name, " ", run.N)
			of[key] = append(of[key], e)
		}
	}
	return of
}

// The golden files have the start of a race, and the last event of each run.
func TestRace(t *testing.T) {
	for name, query := range map[string]string{
		"aware":  "delay=5h&timeout=1h",
		"deaf":   "op=all&ctx=deaf&delay=5h&timeout=1h&backend=deaf",
		"unseen": "op=cache",
		"fails":  "op=fails",
		"times":  "delay=0&times=3",
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, lab *handlers.Lab) {
				lab.Strategies = exact(lab.Strategies)
				c := ask(t.Context(), lab.Routes(), "/race?"+query)
				checkCounts(t, lab, none)
				events := c.got()
				var b bytes.Buffer
				start := events[0].data
				for _, s := range lab.Strategies {
					start = strings.Replace(start, s.Doc, "...", 1)
				}
				fmt.Fprintln(&b, events[0].name, start)
				last := runs(t, c)
				for n := 1; n <= data[struct{ Times int }](t, events[0]).Times; n++ {
					for _, s := range suiting(lab, data[struct{ Op string }](t, events[0]).Op) {
						told := last[fmt.Sprint(s.Name, " ", n)]
						run := told[len(told)-1]
						fmt.Fprintln(&b, run.at, run.name, idless(lab, run.data))
					}
				}
				end := events[len(events)-1]
				fmt.Fprintln(&b, end.at, end.name, end.data)
				golden.Check(t, "race-"+name+".txt", b.Bytes())
			})
		})
	}
}

// idless replaces each ID in data by the same text, because strategies that begin at once
// get their IDs in any order.
func idless(lab *handlers.Lab, data string) string {
	for _, rc := range lab.Ledger.Last(lab.Ledger.Size()) {
		data = strings.Replace(data, `"`+rc.ID()+`"`, `"lab-n"`, 1)
	}
	return data
}

// An event comes as soon as a figure of a run is known.
func TestRaceTellsAtOnce(t *testing.T) {
	bubble(t, func(t *testing.T, lab *handlers.Lab) {
		c := ask(t.Context(), lab.Routes(), "/race?delay=5h&timeout=1h&backend=deaf")
		told := runs(t, c)
		abandoned := told["goroutine-abandon 1"]
		if len(abandoned) < 2 || abandoned[0].at != hour || abandoned[len(abandoned)-1].at != 5*hour {
			t.Fatalf("goroutine-abandon: %+v", abandoned)
		}
		if first := data[raceRun](t, abandoned[0]); first.Answered == nil || first.Ended != nil || first.Complete || first.Left != "" {
			t.Errorf("at the answer: %+v", first)
		}
		for name, events := range told {
			for i := range events {
				if last := data[raceRun](t, events[i]); last.Complete != (i == len(events)-1) || (last.Left != "") != last.Complete {
					t.Errorf("%s: event %d of %d: %+v", name, i+1, len(events), last)
				}
			}
		}
	})
}

// A change without a new figure, as the end of the first of two backends, makes no event.
func TestRaceTellsOnce(t *testing.T) {
	bubble(t, func(t *testing.T, lab *handlers.Lab) {
		lab.Strategies = lab.Strategies[:1]
		lab.Ops[0].Parts = parts(func(_ context.Context, c slowops.Call) error {
			rc := lab.Ledger.Get(c.Run)
			for _, d := range []time.Duration{hour, 2 * hour} {
				rc.BackendBegan()
				time.AfterFunc(d, rc.BackendEnded)
			}
			return nil
		})
		told := runs(t, ask(t.Context(), lab.Routes(), "/race"))["baseline 1"]
		if len(told) != 2 || told[0].at != 0 || told[1].at != 2*hour {
			t.Errorf("%+v", told)
		}
	})
}

// A stream without events sends a beat, which shows that the connection is alive.
func TestRaceBeats(t *testing.T) {
	bubble(t, func(t *testing.T, lab *handlers.Lab) {
		var beats []time.Duration
		for _, e := range ask(t.Context(), lab.Routes(), "/race?delay=40s&timeout=1h").got() {
			if e.name == "" {
				beats = append(beats, e.at)
			}
		}
		if len(beats) != 2 || beats[0] != 15*time.Second || beats[1] != 30*time.Second {
			t.Errorf("beats at %v, want 15s and 30s", beats)
		}
	})
}

// Many runs of a strategy are made in batches of 20. A batch begins when the one before is
// answered.
func TestRaceTimes(t *testing.T) {
	bubble(t, func(t *testing.T, lab *handlers.Lab) {
		lab.Strategies = lab.Strategies[:1]
		var over atomic.Bool
		part := lab.Ops[0].Parts[0]
		lab.Ops[0].Parts[0] = func(ctx context.Context, c slowops.Call) error {
			if lab.Ledger.Counts().InFlight > 20 {
				over.Store(true)
			}
			return part(ctx, c)
		}
		c := ask(t.Context(), lab.Routes(), "/race?delay=1h&timeout=10m&times=45")
		if d := time.Since(c.asked); d != 3*hour || over.Load() {
			t.Errorf("took %v, more than 20 at once: %t; want 3h and false", d, over.Load())
		}
		told := runs(t, c)
		for n := 1; n <= 45; n++ {
			if told[fmt.Sprint("baseline ", n)] == nil {
				t.Errorf("run %d has no event", n)
			}
		}
		if len(told) != 45 {
			t.Errorf("%d runs", len(told))
		}
	})
}

// A race keeps to the lab's limits: a refused run is an outcome.
func TestRaceRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lab := newLab(receipt.Limits{InFlight: 7, Abandoned: 99, Busy: 99})
		refused := 0
		told := runs(t, ask(t.Context(), lab.Routes(), "/race?delay=1h&times=5"))
		for _, events := range told {
			run := data[raceRun](t, events[len(events)-1])
			if !run.Complete || run.Left == "" {
				t.Errorf("%+v", run)
			}
			if *run.Status == receipt.Refused {
				refused++
				if run.Receipt != "" || run.Error.Code != "too_many_in_flight" || run.Answered != nil {
					t.Errorf("%+v", run)
				}
			}
		}
		if want := 5 * len(suiting(lab, "http")); len(told) != want || refused != want-7 {
			t.Errorf("%d runs, %d refused, want %d and %d", len(told), refused, want, want-7)
		}
		settle(t, lab)
	})
}

// At the bound of a race its stream ends, also while runs go on.
func TestRaceIsBounded(t *testing.T) {
	bubble(t, func(t *testing.T, lab *handlers.Lab) {
		lab.Strategies = lab.Strategies[:1]
		c := ask(t.Context(), lab.Routes(), "/race?delay=10h&times=100")
		if d, want := time.Since(c.asked), lab.Bounds().Answer; d != want {
			t.Errorf("took %v, want %v", d, want)
		}
		reason := `{"reason":"it took longer than this lab's bound of ` + lab.Bounds().Answer.String() + `; ask for fewer runs or a shorter delay"}`
		if events := c.got(); events[len(events)-1].name != "cut" || string(events[len(events)-1].data) != reason {
			t.Errorf("the last event is %+v", events[len(events)-1])
		}
		if n := len(lab.Ledger.Last(50)); n != 50 {
			t.Errorf("%d receipts", n)
		}
		synctest.Wait()
		if v := lab.Ledger.Last(1)[0].View(); *v.Status != receipt.Failed || v.Error.Code != "over_caps" {
			t.Errorf("%s, %+v", *v.Status, v.Error)
		}
	})
}

// When the caller leaves, the stream ends and no more runs begin. The runs in flight go on
// as they do without a caller.
func TestRaceCallerGone(t *testing.T) {
	bubble(t, func(t *testing.T, lab *handlers.Lab) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		c := ask(ctx, lab.Routes(), "/race?delay=5h&timeout=1h&times=40&ctx=deaf")
		if d := time.Since(c.asked); d != time.Minute {
			t.Errorf("took %v, want 1m", d)
		}
		time.Sleep(lab.Bounds().Run)
		if n, want := len(lab.Ledger.Last(1000)), 50; n != want { // as many as the ledger holds
			t.Errorf("%d receipts, want %d", n, want)
		}
		if id, want := lab.Ledger.LastID(), fmt.Sprint("lab-", 20*len(suiting(lab, "http"))); id != want {
			t.Errorf("the last run is %s, want %s: one batch for each strategy", id, want)
		}
	})
}

// A caller that stops reading is disconnected, and its runs go on.
func TestRaceCallerDoesNotRead(t *testing.T) {
	bubble(t, func(t *testing.T, lab *handlers.Lab) {
		c := newCaller(1)
		lab.Routes().ServeHTTP(c, request(t.Context(), http.MethodGet, "/race?delay=5h&timeout=1h"))
		if d, want := time.Since(c.asked), 25*time.Second; d != want { // the first beat, and its timeout
			t.Errorf("took %v, want %v", d, want)
		}
	})
}

// Races count as their runs: as many as four of the largest have go on at once, and a further race is refused.
func TestRacesCountTheirRuns(t *testing.T) {
	for times, most := range map[int]int{100: 4, 40: 10, 1: 400} {
		bubble(t, func(t *testing.T, lab *handlers.Lab) {
			lab.Strategies = lab.Strategies[:2]
			routes := lab.Routes()
			ctx, leave := context.WithCancel(t.Context())
			race := func(times int) *httptest.ResponseRecorder {
				w := httptest.NewRecorder()
				go routes.ServeHTTP(unread{w, ctx}, request(ctx, http.MethodGet, fmt.Sprint("/race?op=db&delay=0&times=", times)))
				synctest.Wait()
				return w
			}
			for range most {
				checkStatus(t, race(times), http.StatusOK)
			}
			w := race(1)
			checkStatus(t, w, http.StatusServiceUnavailable)
			checkRefused(t, w, "too_many_races", "this lab may have 800 runs in races at once, and has no room for 2 more: try again later")
			if w.Header().Get("Retry-After") != "1" {
				t.Error("no Retry-After")
			}
			checkStatus(t, race(0), http.StatusBadRequest)
			leave()
			synctest.Wait()
			checkStatus(t, race(100), http.StatusOK)
		})
	}
}

func TestBadRaceParameters(t *testing.T) {
	const times = " is no number from 1 to 100"
	for query, want := range map[string]string{
		"times=0":                "times=0" + times,
		"times=101":              "times=101" + times,
		"times=-1":               "times=-1" + times,
		"times=2.5":              "times=2.5" + times,
		"times=many":             "times=many" + times,
		"times=":                 "times is empty: give it a value or leave it out",
		"times=1&times=2":        "times is given 2 times: give it once",
		"n=5":                    `there is no parameter "n": use op, delay, timeout, ctx, work, backend, target, connect_timeout, tls_timeout, header_timeout, read_timeout or times`,
		"op=nope":                `there is no op "nope": use http, cache, db, all, fails or panics`,
		"delay=11h":              "delay=11h is over this lab's cap: use at most 10h0m0s",
		"timeout=0":              "timeout=0 bounds nothing: use more than 0, at most 6h0m0s",
		"connect_timeout=1ms":    "connect_timeout is one of the client's own timeouts, which only /io-timeout sets: ask there, or leave it out",
		"op=cache&delay=1s":      "delay=1s can't be had: " + cacheNoDelay,
		"op=cache&delay=0&ctx=a": "ctx=a is not known: use aware or deaf",
	} {
		w := get(t, newLab(roomy), "/race?"+query)
		if w.Code != http.StatusBadRequest {
			t.Errorf("%s: status %d", query, w.Code)
			continue
		}
		checkRefused(t, w, "bad_parameter", want)
	}
	w := get(t, newLab(roomy), "/compare?times=2") // only a race takes times=
	checkStatus(t, w, http.StatusBadRequest)
}

// The commands are quoted for a shell, whatever Host the caller sends.
func TestRaceCommands(t *testing.T) {
	bubble(t, func(t *testing.T, lab *handlers.Lab) {
		r := request(t.Context(), http.MethodGet, "/race?op=db&work=cpu&delay=0&timeout=2&ctx=deaf")
		r.Host = "x';ls;'"
		r.Header.Set("X-Forwarded-Proto", "https")
		c := newCaller(everything)
		lab.Routes().ServeHTTP(c, r)
		start := data[struct{ Curl, Compare string }](t, c.got()[0])
		if want := `curl 'https://x'\'';ls;'\''/compare?op=db&delay=0s&timeout=2s&ctx=deaf&work=cpu'`; start.Curl != want {
			t.Errorf("%s, want %s", start.Curl, want)
		}
		if want := `gotimeout compare --url 'https://x'\'';ls;'\''' --ops db --ctx deaf --timeout 2s --delay 0s`; start.Compare != want {
			t.Errorf("%s, want %s", start.Compare, want)
		}
	})
}
