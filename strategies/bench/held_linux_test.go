package main

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

// Each request of a load has one outcome: an answer, a connection that was closed, or none.
func TestOutcomes(t *testing.T) {
	ended := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/answered":
			fmt.Fprint(w, `{"receipt": "/receipts/x-1"}`)
		case "/refused":
			w.WriteHeader(http.StatusServiceUnavailable)
		case "/closed":
			panic(http.ErrAbortHandler)
		case "/silent":
			<-ended
		}
	}))
	defer s.Close()
	defer close(ended)
	client := clientAt(address(2, 1))
	defer client.CloseIdleConnections()
	var o outcomes
	for _, path := range []string{"/answered", "/refused", "/closed"} {
		o.send(context.Background(), client, s.URL+path)
	}
	client.Timeout = 100 * time.Millisecond
	o.send(context.Background(), client, s.URL+"/silent")
	if got := fmt.Sprint(o.sent, o.of(200), o.of(503), o.of(0), o.nothing, o.receipts); got != "4 1 1 1 1 [x-1]" {
		t.Errorf("%s: want 4 sent, and one of each outcome", got)
	}
}
