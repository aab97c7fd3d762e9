package handlers_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gotimeout/handlers"
	"gotimeout/internal/badnet"
	"gotimeout/internal/prose"
	"gotimeout/internal/receipt"
	"gotimeout/internal/wire"
	"gotimeout/slowops"
	"gotimeout/strategies"
)

// The tests in this file use real sockets.

// HEAD has the headers of GET, and no body.
func TestHead(t *testing.T) {
	server := httptest.NewServer(newLab(roomy).Routes())
	defer server.Close()
	for path, status := range map[string]int{
		"/": 200, "/baseline?delay=0": 200, "/context-cancel?op=fails": 502, "/baseline?delay=x": 400, "/nope": 404,
		"/compare?delay=0": 200, "/receipts": 200, "/receipts/lab-0": 404, "/race?times=0": 400, "/backends": 200, "/healthz": 200, "/readyz": 200,
	} {
		got, body := overTheWire(t, server, http.MethodHead, path)
		want, _ := overTheWire(t, server, http.MethodGet, path)
		if got.StatusCode != status || want.StatusCode != status {
			t.Errorf("%s: HEAD %d, GET %d, want %d", path, got.StatusCode, want.StatusCode, status)
		}
		if len(body) > 0 {
			t.Errorf("HEAD %s has the body %s", path, body)
		}
		if n, _ := strconv.Atoi(got.Header.Get("Content-Length")); n == 0 && strings.Contains(got.Header.Get("Content-Type"), "json") && path != "/receipts" { // a stream
			t.Errorf("HEAD %s has no Content-Length", path)
		}
		for _, name := range []string{"Content-Type", "Cache-Control", "X-Content-Type-Options"} {
			if g, w := got.Header.Get(name), want.Header.Get(name); g != w || w == "" {
				t.Errorf("%s: %s is %q for HEAD, %q for GET", path, name, g, w)
			}
		}
	}
}

// overTheWire writes a request to a socket, because http.Client hides a body that
// must not be there. It returns all bytes after the headers.
func overTheWire(t *testing.T, server *httptest.Server, method, path string) (*http.Response, []byte) {
	t.Helper()
	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	fmt.Fprintf(conn, "%s %s HTTP/1.1\r\nHost: lab\r\nConnection: close\r\n\r\n", method, path)
	from := bufio.NewReader(conn)
	r, err := http.ReadResponse(from, &http.Request{Method: method})
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	body, err := io.ReadAll(from) // the bytes that ReadResponse has not read
	if err != nil {
		t.Fatal(err)
	}
	return r, body
}

// A caller that hangs up ends an aware run, and the receipt says so.
func TestHangUp(t *testing.T) {
	lab := newLab(roomy)
	server := httptest.NewServer(lab.Routes())
	defer server.Close()
	began := make(chan string, 1)
	part := lab.Ops[0].Parts[0]
	lab.Ops[0].Parts[0] = func(ctx context.Context, c slowops.Call) error {
		began <- c.Run
		return part(ctx, c)
	}
	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(conn, "GET /baseline?delay=10h HTTP/1.1\r\nHost: lab\r\n\r\n")
	rc := lab.Ledger.Get(<-began)
	conn.Close()
	rc.Wait(t.Context())
	if v := rc.View(); *v.Status != receipt.Failed || v.Error.Code != "caller_gone" {
		t.Errorf("status %s with %+v", *v.Status, v.Error)
	}
}

func ExampleLab_Routes() {
	lab := &handlers.Lab{
		Strategies: strategies.All(),
		Ops: []handlers.Op{{
			Name: "nap",
			Parts: []handlers.Part{func(ctx context.Context, c slowops.Call) error {
				select {
				case <-time.After(c.Delay):
					return nil
				case <-ctx.Done():
					return ctx.Err()
				}
			}},
		}},
		Ledger:     receipt.NewLedger("lab", 100, receipt.Limits{InFlight: 10, Abandoned: 10}),
		MaxDelay:   time.Minute,
		MaxTimeout: time.Minute,
	}
	for _, query := range []string{"delay=0", "delay=1m&timeout=1ms", "delay=1h"} {
		w := httptest.NewRecorder()
		lab.Routes().ServeHTTP(w, httptest.NewRequest("GET", "/context-cancel?"+query, nil))
		var a wire.Answer
		_ = json.Unmarshal(w.Body.Bytes(), &a)
		fmt.Println(w.Code, a.Status)
	}
	// Output:
	// 200 completed
	// 504 timed_out
	// 400 refused
}

// checkRefused checks the whole answer of a run that was not started.
func checkRefused(t *testing.T, w *httptest.ResponseRecorder, code, sentence string) {
	t.Helper()
	want := map[string]any{
		"completed": false, "time": nil, "timeout": nil, "name": nil, "slow": nil,
		"status": "refused", "ctx": nil, "family": nil, "network": nil, "answered_ms": nil, "overshoot_ms": nil,
		"error": map[string]any{"code": code, "message": sentence}, "receipt": nil,
	}
	if got := read[map[string]any](t, w); !reflect.DeepEqual(got, want) {
		t.Errorf("answer\n%v, want\n%v", got, want)
	}
}

func TestNotFound(t *testing.T) {
	var strategies []string
	for _, s := range newLab(roomy).Strategies {
		strategies = append(strategies, "/"+s.Name)
	}
	there := ": the strategies are " + prose.Or(strategies) + "; " +
		"the other paths are /compare, /race, /receipts, /jobs/ID, /events, /code/STRATEGY, /docs/PAGE, /lab, /backends, /sockets, /network, /network/log, /network/graph, /metrics, /healthz, /readyz and /"
	for path, shown := range map[string]string{
		"/nope": "/nope", "/baseline/": "/baseline/", "/receipts/": "/receipts/", "/receipts/lab-1/x": "/receipts/lab-1/x",
		"/%3Cscript%3E":                "/<script>", // in JSON a browser runs no script
		"/" + strings.Repeat("x", 100): "/" + strings.Repeat("x", 59),
	} {
		for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodOptions} {
			w := serve(newLab(roomy), request(t.Context(), method, path))
			checkStatus(t, w, http.StatusNotFound)
			checkRefused(t, w, "not_found", "there is nothing at "+shown+there)
			if !strings.Contains(w.Body.String(), shown) {
				t.Errorf("%s is escaped in\n%s", shown, w.Body)
			}
		}
	}
}

// For a refused request and for receipts a browser gets a page, and a program gets
// JSON.
func TestPagesForBrowsers(t *testing.T) {
	for path, tc := range map[string]struct {
		status int
		want   string
	}{
		"/nope":                 {http.StatusNotFound, "there is nothing at /nope"},
		"/<script>":             {http.StatusNotFound, "there is nothing at /&lt;script&gt;"},
		"/receipts/lab-9":       {http.StatusNotFound, "there is no receipt &#34;lab-9&#34;"},
		"/receipts?limit=0":     {http.StatusBadRequest, "limit=0 is no number from 1 to 50"},
		"/receipts":             {http.StatusOK, "<td>context-cancel on http</td><td>timed_out</td>"},
		"/receipts?after=lab-1": {http.StatusOK, "No run has come after lab-1."},
	} {
		bubble(t, func(t *testing.T, lab *handlers.Lab) {
			get(t, lab, "/context-cancel?delay=2s&timeout=1s")
			settle(t, lab)
			for accept, isPage := range map[string]bool{browser: true, "*/*": false, "": false, "application/json, text/html": false} {
				r := request(t.Context(), http.MethodGet, "/")
				r.URL.Path, r.URL.RawQuery, _ = strings.Cut(path, "?")
				r.Header.Set("Accept", accept)
				w := serve(lab, r)
				checkStatus(t, w, tc.status)
				contentType, h := "application/json; charset=utf-8", w.Header()
				if isPage {
					contentType = "text/html; charset=utf-8"
					if !strings.Contains(w.Body.String(), tc.want) {
						t.Errorf("%s: no %q in\n%s", path, tc.want, w.Body)
					}
					checkPageHeaders(t, h)
				}
				if h.Get("Content-Type") != contentType || h.Get("Vary") != "Accept" {
					t.Errorf("%s as %q: %v", path, accept, h)
				}
			}
		})
	}
}

// checkPageHeaders checks that the headers let a page load nothing from another origin,
// that no other site can frame the page, and that no other site gets its address as Referer.
func checkPageHeaders(t *testing.T, h http.Header) {
	t.Helper()
	policy := h.Get("Content-Security-Policy")
	for _, want := range []string{"default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'"} {
		if !strings.Contains(policy, want) {
			t.Errorf("the policy %q lacks %s", policy, want)
		}
	}
	if strings.Contains(policy, "unsafe") || h.Get("Referrer-Policy") != "no-referrer" || h.Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("headers %v", h)
	}
}

func TestWrongMethod(t *testing.T) {
	for _, path := range []string{"/", "/baseline", "/compare", "/race", "/receipts", "/receipts/lab-1", "/events", "/lab", "/backends", "/healthz", "/readyz"} {
		for _, method := range []string{"POST", "PUT", "PATCH", "DELETE", "TRACE", "CONNECT", "BREW"} {
			w := serve(newLab(roomy), request(t.Context(), method, path))
			checkStatus(t, w, http.StatusMethodNotAllowed)
			checkRefused(t, w, "wrong_method", method+" is not allowed here: use GET")
			checkAllow(t, w)
		}
		w := serve(newLab(roomy), request(t.Context(), http.MethodOptions, path))
		checkStatus(t, w, http.StatusNoContent)
		checkAllow(t, w)
		if w.Body.Len() > 0 {
			t.Errorf("OPTIONS %s has the body %s", path, w.Body)
		}
	}
}

func checkAllow(t *testing.T, w *httptest.ResponseRecorder) {
	t.Helper()
	if got := w.Header().Get("Allow"); got != "GET, HEAD, OPTIONS" {
		t.Errorf("Allow is %q", got)
	}
}

// A lab at its limit answers 503 with a Retry-After. A refused run leaves no receipt,
// and after the held work has ended the lab accepts runs again.
func TestLimits(t *testing.T) {
	for name, tc := range map[string]struct {
		limits   receipt.Limits
		held     string
		next     string
		code     string
		sentence string
	}{
		"in flight": {receipt.Limits{InFlight: 1, Abandoned: 9, Busy: 9}, "/baseline?delay=5h", "/errgroup?delay=0", "too_many_in_flight",
			"too many runs are in flight in this lab (--max-in-flight): try again in a second"},
		"abandoned": {receipt.Limits{InFlight: 9, Abandoned: 1, Busy: 9}, "/goroutine-abandon?delay=5h", "/errgroup?delay=0", "too_many_abandoned",
			"earlier runs have left too much work behind (--max-abandoned): try again when it has ended"},
		"busy": {receipt.Limits{InFlight: 9, Abandoned: 9, Busy: 1}, "/goroutine-abandon?op=db&work=cpu&delay=5h", "/errgroup?op=db&work=cpu&delay=1ms", "too_many_busy",
			"too many runs compute on this lab's processors: try again in a second"},
		"descriptors": {receipt.Limits{InFlight: 9, Abandoned: 9, Busy: 9, Descriptors: 3}, "/goroutine-abandon?delay=5h", "/errgroup?delay=0", "too_many_descriptors",
			"the runs of this lab have all file descriptors that its limit allows them (ulimit -n, LimitNOFILE=): try again in a second"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				lab := newLab(tc.limits)
				for i := range lab.Ops {
					lab.Ops[i].Files = 2
				}
				held := make(chan int)
				go func() { held <- serve(lab, request(t.Context(), http.MethodGet, tc.held)).Code }()
				time.Sleep(hour)

				w := get(t, lab, tc.next)
				checkStatus(t, w, http.StatusServiceUnavailable)
				checkRefused(t, w, tc.code, tc.sentence)
				if got := w.Header().Get("Retry-After"); got != "1" {
					t.Errorf("Retry-After is %q", got)
				}
				if n := len(lab.Ledger.Last(9)); n != 1 {
					t.Errorf("%d receipts, want the held one alone", n)
				}

				if code := <-held; code != http.StatusOK && code != http.StatusGatewayTimeout {
					t.Errorf("the held run: status %d", code)
				}
				settle(t, lab)
				checkStatus(t, get(t, lab, tc.next), http.StatusOK)
				settle(t, lab)
			})
		})
	}
}

// At the limit of computing runs the lab still accepts a run that doesn't compute.
func TestBusyIsForThoseThatCompute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lab := newLab(receipt.Limits{InFlight: 9, Abandoned: 9, Busy: 0})
		for target, want := range map[string]int{
			"/baseline?op=db&work=sleep": 200, "/baseline?op=db&work=cpu&delay=0": 200, "/baseline?op=http": 200,
			"/baseline?op=db&work=cpu&delay=1ms": 503,
		} {
			if w := get(t, lab, target); w.Code != want {
				t.Errorf("%s: status %d, want %d", target, w.Code, want)
			}
		}
		settle(t, lab)
	})
}

// A person's answer is indented, and a program's is one line.
func TestAnswersForPeopleAreIndented(t *testing.T) {
	for agent, lines := range map[string]bool{"curl/8.5.0": true, "Mozilla/5.0 (X11)": true, "Go-http-client/1.1": false, "": false} {
		r := request(t.Context(), http.MethodGet, "/baseline?delay=soon")
		r.Header.Set("User-Agent", agent)
		if got := strings.Count(serve(newLab(roomy), r).Body.String(), "\n") > 1; got != lines {
			t.Errorf("%q: indented %v, want %v", agent, got, lines)
		}
	}
}

// The lab writes an answer without encoding/json. The bytes must be those that
// encoding/json would write for wire.Answer.
func TestAnswerIsItsType(t *testing.T) {
	bubble(t, func(t *testing.T, lab *handlers.Lab) {
		trip := 12.5
		lab.Network = &fakeNetwork{state: badnet.State{Path: badnet.Path{Driver: "netem", Profile: "3g <&>", RoundTrip: &trip}}}
		say := func(err error) []handlers.Part {
			return parts(func(context.Context, slowops.Call) error { return err })
		}
		lab.Ops = append(lab.Ops,
			handlers.Op{Name: "quotes", Parts: say(errors.New(`Get "http://x/\y": <no> & none`))},
			handlers.Op{Name: "words", Parts: say(errors.New("la base a dit « non »\n\x7f\u2028"))},
			handlers.Op{Name: "late", Parts: parts(func(context.Context, slowops.Call) error { time.Sleep(1234567891); return nil })})
		for _, path := range []string{
			"/baseline?delay=0", "/context-cancel?delay=3s&timeout=1500ms", "/context-cancel?op=late&timeout=1s", "/io-timeout?delay=3s&timeout=1ms",
			"/baseline?op=quotes", "/baseline?op=words", "/goroutine-abandon?op=panics", "/timer-panic?op=late&timeout=1m",
		} {
			r := request(t.Context(), http.MethodGet, path)
			r.Header.Del("User-Agent") // of curl, which is answered with an indentation
			got := serve(lab, r).Body.String()
			var a wire.Answer
			strict := json.NewDecoder(strings.NewReader(got))
			strict.DisallowUnknownFields()
			if err := strict.Decode(&a); err != nil {
				t.Errorf("%s: %v in %s", path, err, got)
			}
			var network badnet.Path
			if raw, _ := json.Marshal(a.Network); json.Unmarshal(raw, &network) == nil {
				a.Network = &network // with its keys in the order of the type's fields
			}
			var want strings.Builder
			enc := json.NewEncoder(&want)
			enc.SetEscapeHTML(false)
			if err := enc.Encode(a); err != nil || got != want.String() {
				t.Errorf("%v: got\n%s, want\n%s", err, got, want.String())
			}
		}
		settle(t, lab)
	})
}
