package handlers_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"gotimeout/handlers"
	"gotimeout/internal/receipt"
)

type receipts struct {
	Receipts []receipt.View `json:"receipts"`
}

// The last receipts, the newest first: 20, or as many as asked for.
func TestReceipts(t *testing.T) {
	bubble(t, func(t *testing.T, lab *handlers.Lab) {
		if got := get(t, lab, "/receipts").Body.String(); got != "{\n  \"receipts\": []\n}\n" {
			t.Errorf("of an empty ledger: %s", got)
		}
		for range 25 {
			get(t, lab, "/baseline?delay=0")
		}
		for query, want := range map[string]int{"": 20, "?limit=1": 1, "?limit=24": 24, "?limit=50": 25} {
			w := get(t, lab, "/receipts"+query)
			checkStatus(t, w, http.StatusOK)
			got := read[receipts](t, w).Receipts
			if len(got) != want || got[0].ID != "lab-25" {
				t.Errorf("%s: %d receipts from %s, want %d from lab-25", query, len(got), got[0].ID, want)
			}
		}
	})
}

// With after=, those that came after that one, the oldest first, as long as the
// next one is held; a reader who asks again with the last ID misses none.
func TestReceiptsAfter(t *testing.T) {
	bubble(t, func(t *testing.T, lab *handlers.Lab) {
		for range 60 { // the ledger holds 50
			get(t, lab, "/baseline?delay=0")
		}
		for query, want := range map[string]struct {
			first string
			n     int
		}{
			"after=lab-10":          {"lab-11", 20},
			"after=lab-10&limit=50": {"lab-11", 50},
			"after=lab-58&limit=50": {"lab-59", 2},
			"after=lab-59&limit=1":  {"lab-60", 1},
			"after=lab-60":          {"", 0},
		} {
			w := get(t, lab, "/receipts?"+query)
			checkStatus(t, w, http.StatusOK)
			got := read[receipts](t, w).Receipts
			if got == nil || len(got) != want.n || want.n > 0 && got[0].ID != want.first {
				t.Errorf("%s: %d receipts, want %d from %s: %+v", query, len(got), want.n, want.first, got)
			}
		}
		last, i := "lab-10", 10
		for range 8 {
			for _, v := range read[receipts](t, get(t, lab, "/receipts?limit=7&after="+last)).Receipts {
				i++
				if last = v.ID; last != fmt.Sprint("lab-", i) {
					t.Fatalf("%s in the place of %d", last, i)
				}
			}
		}
		if i != 60 {
			t.Errorf("the last is %d, want 60", i)
		}
		w := get(t, lab, "/receipts?after=lab-9")
		checkStatus(t, w, http.StatusGone)
		checkRefused(t, w, "receipts_gone", `the receipts right after "lab-9" are gone: the ledger holds the last 50 (--receipts): ask sooner, or for those after a later one`)
	})
}

// A run is in the list before its answer is there, without a status.
func TestReceiptInFlight(t *testing.T) {
	bubble(t, func(t *testing.T, lab *handlers.Lab) {
		go serve(lab, request(t.Context(), http.MethodGet, "/baseline?delay=5h"))
		time.Sleep(hour)
		got := read[receipts](t, get(t, lab, "/receipts")).Receipts
		if len(got) != 1 || got[0].Complete || got[0].Status != nil || got[0].Answered != nil || got[0].Name != "baseline" {
			t.Errorf("%+v", got)
		}
	})
}

func TestBadReceiptParameters(t *testing.T) {
	const (
		limits = " is no number from 1 to 50, which is what the ledger holds"
		once   = " is given 2 times: give it once"
	)
	for target, want := range map[string]string{
		"/receipts?limit=0":                    "limit=0" + limits,
		"/receipts?limit=-1":                   "limit=-1" + limits,
		"/receipts?limit=51":                   "limit=51" + limits,
		"/receipts?limit=ten":                  "limit=ten" + limits,
		"/receipts?limit=1.5":                  "limit=1.5" + limits,
		"/receipts?limit=99999999999999999999": "limit=99999999999999999999" + limits,
		"/receipts?limit=":                     "limit is empty: give it a value or leave it out",
		"/receipts?limit=1&limit=1":            "limit" + once,
		"/receipts?wait=1s":                    `there is no parameter "wait": use after or limit`,
		"/receipts?after=":                     "after is empty: give it a value or leave it out",
		"/receipts?after=lab-1&limit=51":       "limit=51" + limits,
		"/receipts?limit=%zz":                  `the query is malformed (invalid URL escape "%zz"): write name=value&name=value`,
		"/receipts/lab-1?limit=1":              `there is no parameter "limit": use wait or format`,
		"/receipts/lab-1?wait=1s&wait=1s":      "wait" + once,
		"/receipts/lab-1?wait=long":            "wait=long is no duration: write 250ms, 1.5s or plain seconds",
		"/receipts/lab-1?format=text":          "format=text is not known: use html or json",
		"/receipts/lab-1?wait=-1":              "wait=-1 is negative: use 0 to 46h0m0s",
		"/receipts/lab-1?wait=46h1s":           "wait=46h1s is over this lab's cap: use at most 46h0m0s",
	} {
		w := get(t, newLab(roomy), target)
		if w.Code != http.StatusBadRequest {
			t.Errorf("%s: status %d", target, w.Code)
			continue
		}
		checkRefused(t, w, "bad_parameter", want)
	}
}

func TestNoReceipt(t *testing.T) {
	for _, id := range []string{"lab-1", "other-1", "x", "lab-", "-", "lab-99999999999999999999"} {
		w := get(t, newLab(roomy), "/receipts/"+id+"?wait=1h")
		checkStatus(t, w, http.StatusNotFound)
		const held = `": the ledger holds the last 50 runs of this lab, see /receipts`
		checkRefused(t, w, "no_receipt", `there is no receipt "`+id+held)
		w = get(t, newLab(roomy), "/receipts?after="+id)
		checkStatus(t, w, http.StatusNotFound)
		checkRefused(t, w, "no_receipt", `there is no receipt "`+id+held)
	}
}

// A wait ends when the receipt is complete, or when its time is over.
func TestReceiptWait(t *testing.T) {
	for wait, want := range map[string]struct {
		after    time.Duration
		complete bool
	}{
		"":           {0, false},
		"?wait=0":    {0, false},
		"?wait=2h":   {2 * hour, false},
		"?wait=7200": {2 * hour, false},
		"?wait=5h":   {4 * hour, true},
		"?wait=16h":  {4 * hour, true},
	} {
		bubble(t, func(t *testing.T, lab *handlers.Lab) {
			checkStatus(t, get(t, lab, "/goroutine-abandon?delay=5h&timeout=1h"), http.StatusGatewayTimeout)
			start := time.Now()
			w := get(t, lab, "/receipts/lab-1"+wait)
			checkStatus(t, w, http.StatusOK)
			v := read[receipt.View](t, w)
			if d := time.Since(start); d != want.after || v.Complete != want.complete || (v.Ended != nil) != want.complete {
				t.Errorf("%q: after %v, complete %t; want %+v", wait, d, v.Complete, want)
			}
			settle(t, lab)
			start = time.Now()
			if v := read[receipt.View](t, get(t, lab, "/receipts/lab-1"+wait)); !v.Complete || time.Since(start) != 0 {
				t.Errorf("%q: a complete one took %v", wait, time.Since(start))
			}
		})
	}
}
