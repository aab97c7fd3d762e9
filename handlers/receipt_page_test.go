package handlers_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"gotimeout/handlers"
	"gotimeout/internal/badnet"
	"gotimeout/internal/receipt"
	"gotimeout/slowops"
)

const browser = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"

func receiptPage(t *testing.T, lab *handlers.Lab, path string) *httptest.ResponseRecorder {
	t.Helper()
	r := request(t.Context(), http.MethodGet, path)
	r.Header.Set("Accept", browser)
	w := serve(lab, r)
	checkStatus(t, w, http.StatusOK)
	if got := w.Header().Get("Content-Type"); got != "text/html; charset=utf-8" {
		t.Errorf("Content-Type %q", got)
	}
	return w
}

// The golden is of a run of which there is everything: it is over a network,
// was cut by a phase, and left a dial behind.
func TestReceiptPage(t *testing.T) {
	bubble(t, func(t *testing.T, lab *handlers.Lab) {
		lab.Network = &fakeNetwork{state: badnet.State{Path: badnet.Path{Driver: "netem", Profile: "3g"}}}
		lab.Ops[0].Parts = parts(func(_ context.Context, c slowops.Call) error {
			rc := lab.Ledger.Get(c.Run)
			c.Dialed()
			ended := c.Phase("http", "dns")
			time.Sleep(20 * time.Millisecond)
			ended(nil)
			ended = c.Phase("http", "connect")
			rc.BackendBegan()
			time.Sleep(200 * time.Millisecond)
			ended(codedError{"connect_timeout", true})
			c.Phase("http", "first_byte")
			c.Outlived("a dialer with a timeout")
			time.AfterFunc(3*time.Second, rc.BackendEnded)
			return codedError{"connect_timeout", true}
		})
		get(t, lab, "/io-timeout?delay=2s&timeout=1s&connect_timeout=200ms")
		settle(t, lab)
		page := receiptPage(t, lab, "/receipts/lab-1").Body.Bytes()
		golden(t, "receipt.html", page)
		for _, link := range links(t, page) {
			if w := get(t, lab, link); w.Code == http.StatusNotFound || w.Code == http.StatusBadRequest {
				t.Errorf("%s: status %d", link, w.Code)
			}
		}
		settle(t, lab)
	})
}

// As long as something goes on the browser asks again, and no bar is a guess.
func TestReceiptPageInFlight(t *testing.T) {
	bubble(t, func(t *testing.T, lab *handlers.Lab) {
		const again = `<meta http-equiv="refresh"`
		go serve(lab, request(t.Context(), http.MethodGet, "/goroutine-abandon?delay=5h&timeout=2h&backend=deaf"))
		for _, at := range []struct {
			status string
			again  bool
			notYet int
		}{{"in flight", true, 3}, {"timed_out", true, 2}, {"timed_out", false, 0}} {
			time.Sleep(hour)
			if !at.again {
				settle(t, lab)
			}
			page := receiptPage(t, lab, "/receipts/lab-1").Body.String()
			if !strings.Contains(page, "<b>"+at.status+"</b>") || strings.Contains(page, again) != at.again || strings.Count(page, ">not yet<") != at.notYet {
				t.Errorf("want %+v in\n%s", at, page)
			}
			time.Sleep(hour)
		}
	})
}

// A program has JSON as ever, and a person can ask for either.
func TestReceiptFormat(t *testing.T) {
	bubble(t, func(t *testing.T, lab *handlers.Lab) {
		get(t, lab, "/context-cancel?op=cache")
		for _, tc := range []struct {
			accept, query string
			html          bool
		}{
			{"", "", false}, {"*/*", "", false}, {"application/json", "", false}, {"text/html;q=0.5, application/json", "", false},
			{browser, "", true}, {"text/html", "?wait=1s", true}, {browser, "?format=json", false}, {"*/*", "?format=html", true},
		} {
			r := request(t.Context(), http.MethodGet, "/receipts/lab-1"+tc.query)
			r.Header.Set("Accept", tc.accept)
			w := serve(lab, r)
			checkStatus(t, w, http.StatusOK)
			if tc.html {
				if !strings.Contains(w.Body.String(), ">nobody could see<") {
					t.Errorf("%q %s: not the page", tc.accept, tc.query)
				}
			} else if v := read[receipt.View](t, w); v.ID != "lab-1" {
				t.Errorf("%+v", v)
			}
		}
	})
}

// What a backend says is not put into the page as it is.
func TestReceiptPageEscapes(t *testing.T) {
	bubble(t, func(t *testing.T, lab *handlers.Lab) {
		lab.Ops[4].Parts = parts(func(context.Context, slowops.Call) error {
			return codedError{`<script>alert("x")</script>`, false}
		})
		get(t, lab, "/io-timeout?op=fails")
		page := receiptPage(t, lab, "/receipts/lab-1").Body.String()
		if strings.Contains(page, "<script") || !strings.Contains(page, "&lt;script&gt;") {
			t.Errorf("\n%s", page)
		}
	})
}
