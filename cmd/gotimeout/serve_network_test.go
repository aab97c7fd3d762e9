package main

import (
	"net/http"
	"testing"
)

// The proxy driver needs nothing of the system: it delays what is said, and not
// the dial, and refuses what it can't do.
func TestNetworkByProxy(t *testing.T) {
	t.Parallel()
	p := start(t, "--network=delay=50ms", "--network-driver=proxy")
	for _, op := range []string{"http", "cache", "db"} {
		status, v := p.complete(t, "/context-cancel?timeout=4s&op="+op)
		if status != http.StatusOK || *v.Answered < 100 {
			t.Errorf("op=%s: %d, %s", op, status, describe(v))
		}
	}
	if status, v := p.complete(t, "/context-cancel?timeout=50ms&op=cache"); status != http.StatusGatewayTimeout {
		t.Errorf("%d, %s", status, describe(v))
	}
	status, s := p.change(t, "PUT", "/network", "loss=1%")
	if status != http.StatusBadRequest {
		t.Errorf("a proxy loses packets: %d %+v", status, s)
	}
	if status, s = p.change(t, "PUT", "/network?backend=db", "delay=100ms"); status != http.StatusOK || s.Profile != "delay=50ms" {
		t.Errorf("%d %+v", status, s)
	}
	if c := s.Backends["db"].Calibration; c == nil || *c.RoundTripP50 < 200 || *c.Dial > 100 {
		t.Errorf("the calibration is %+v", c)
	}
	if _, v := p.complete(t, "/baseline?op=db"); *v.Answered < 200 {
		t.Errorf("%v ms over a round trip of 200", *v.Answered)
	}
}
