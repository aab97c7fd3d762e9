package handlers_test

import (
	"bufio"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"gotimeout/internal/wire"
)

// More connections than the bound are answered 503 and closed, and still more are closed at once. When one ends
// there is room again.
func TestConnections(t *testing.T) {
	lab := newLab(roomy)
	lab.MaxConnections = 2
	server := httptest.NewUnstartedServer(lab.Routes())
	lab.CountConnections(server.Config)
	server.Start()
	defer server.Close()
	dial := func() net.Conn {
		c, err := net.Dial("tcp", server.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		_ = c.SetDeadline(time.Now().Add(time.Minute))
		return c
	}
	ask := func(c net.Conn) (*http.Response, error) {
		defer c.Close()
		_, _ = c.Write([]byte("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"))
		return http.ReadResponse(bufio.NewReader(c), nil)
	}
	first, second := dial(), dial() // the server accepts in this order
	defer second.Close()

	w, err := ask(dial())
	if err != nil {
		t.Fatal(err)
	}
	if w.StatusCode != http.StatusServiceUnavailable || w.Header.Get("Retry-After") != "1" || !w.Close {
		t.Errorf("status %d, %v", w.StatusCode, w.Header)
	}

	first.Close()
	for end := time.Now().Add(time.Minute); ; { // the server sees the end of the connection later
		w, err := ask(dial())
		if err == nil && w.StatusCode == http.StatusOK {
			if !w.Close {
				t.Error("the bound is reached, and the answer leaves its connection open")
			}
			break
		}
		if time.Now().After(end) {
			t.Fatal(w, err)
		}
	}

	for range 100 {
		defer dial().Close()
		if _, err := ask(dial()); err != nil {
			return
		}
	}
	t.Error("100 connections over the bound have an answer")
}

// A lab names its bounds, where it has them.
func TestBoundsInLab(t *testing.T) {
	limits := roomy
	limits.Descriptors = 7
	lab := newLab(limits)
	lab.MaxConnections = 5
	if caps := read[wire.Lab](t, get(t, lab, "/lab")).Caps; caps.MaxDescriptors != 7 || caps.MaxConnections != 5 {
		t.Errorf("%+v", caps)
	}
}
