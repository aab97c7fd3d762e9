package handlers_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"gotimeout/handlers"
	"gotimeout/internal/receipt"
	"gotimeout/internal/wire"
	"gotimeout/slowops"
	"gotimeout/strategies"
)

// The tests in this file are over real sockets.

// HEAD has the headers of GET, and not a byte of its body.
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
		if n, _ := strconv.Atoi(got.Header.Get("Content-Length")); n == 0 && strings.Contains(got.Header.Get("Content-Type"), "json") {
			t.Errorf("HEAD %s has no Content-Length", path)
		}
		for _, name := range []string{"Content-Type", "Cache-Control", "X-Content-Type-Options"} {
			if g, w := got.Header.Get(name), want.Header.Get(name); g != w || w == "" {
				t.Errorf("%s: %s is %q for HEAD, %q for GET", path, name, g, w)
			}
		}
	}
}

// overTheWire sends a request by hand, because http.Client hides a body that
// should not be there, and returns what comes after the headers.
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
	body, err := io.ReadAll(from) // what ReadResponse has left on the wire
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
