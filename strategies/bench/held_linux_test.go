package main

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
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
	if got := fmt.Sprintln(len(o.all), o.of(200), o.of(503), o.of(closed), o.of(none), o.all[0].receipt); got != "4 1 1 1 1 x-1\n" {
		t.Errorf("%s: want 4 sent, and one of each outcome", got)
	}
}

func TestSlope(t *testing.T) {
	x := []float64{0, 1, 2, 3, 4, 5}
	if s := slopeOf(x, []float64{1, 3, 5, 7, 9, 11}); s != (estimate{2, 2, 2}) {
		t.Errorf("of a line: %+v, want 2", s)
	}
	if s := slopeOf(x, []float64{5, 4, 6, 4, 6, 5}); s.lo > 0 || s.hi < 0 || s.lo == s.hi {
		t.Errorf("of noise: %+v, want an interval around 0", s)
	}
}

func TestReadyIn(t *testing.T) {
	var seen []ready
	for n, is := range []bool{true, false, false, true} { // the last was asked for at 3 s, and given at 5 s
		asked := time.Unix(int64(n), 0)
		seen = append(seen, ready{asked, asked.Add(time.Duration(n) * time.Second * 2 / 3), is})
	}
	for want, times := range map[string][2]int64{"no": {1, 4}, "both": {0, 4}, "yes": {3, 5}, "": {4, 9}} {
		if got := readyIn(seen, time.Unix(times[0], 0), time.Unix(times[1], 0)); got != want {
			t.Errorf("from %d s to %d s: %q, want %q", times[0], times[1], got, want)
		}
	}
}

// An answer of a run without a receipt is missing, and a receipt that is not complete is left.
func TestUnrecorded(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `{"receipts": [{"id": "x-1", "complete": true}, {"id": "x-2", "complete": false}]}`)
	}))
	defer s.Close()
	at := scenery{lab: &server{url: s.URL}}
	missing, left, err := at.unrecorded(&outcomes{all: []outcome{
		{status: 200, receipt: "x-1"}, {status: 504, receipt: "x-2"}, {status: 502, receipt: "x-3"}, {status: 503}, {status: closed}, {status: none},
	}})
	if missing != 1 || left != 1 || err != nil {
		t.Errorf("%d missing, %d left, %v: want one of each", missing, left, err)
	}
}

// What a load leaves is a fault.
func TestClean(t *testing.T) {
	before := remains{goroutines: 30, descriptors: 40}
	for name, tt := range map[string]struct {
		after remains
		want  bool
	}{
		"as before":             {before, true},
		"pools":                 {remains{goroutines: 80, descriptors: 90}, true},
		"leaked goroutines":     {remains{goroutines: 81, descriptors: 40}, false},
		"leaked descriptors":    {remains{goroutines: 30, descriptors: 91}, false},
		"a run that has no end": {remains{left: 1}, false},
		"a run without receipt": {remains{missing: 1}, false},
	} {
		if got := clean(before, tt.after); got != tt.want {
			t.Errorf("%s: clean is %t", name, got)
		}
	}
}

// A server that crashes says why when it is stopped, and one that ends well says nothing.
func TestServerCrash(t *testing.T) {
	for end, want := range map[string]string{
		"exit 0":                          "",
		"exit 3":                          "/sh: exit status 3\n",
		"echo log; echo panic: x; exit 2": "/sh: exit status 2\npanic: x",
	} {
		s, err := startServer(t.Context(), "sh", "-c", "trap '"+end+"' TERM; echo serving url=http://localhost; while :; do sleep 0.01; done")
		if err != nil {
			t.Fatal(err)
		}
		if err := s.stop(); want == "" && err != nil || want != "" && (err == nil || !strings.HasSuffix(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", end, err, want)
		}
	}
}
