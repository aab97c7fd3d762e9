package main

import (
	"net/http"
	"os"
	"testing"
	"time"

	"gotimeout/internal/wire"
)

// A completed call leaves a kept connection. A cancelled call's connection ends with a RST
// where the server still answers, and with a FIN and in TIME-WAIT where the server closes
// too.
func TestHowConnectionsEnd(t *testing.T) {
	t.Parallel()
	p := start(t)
	_, v := p.complete(t, "/baseline?op=cache&delay=0")
	if c := v.Connections; c.Kept != 1 || c.Closed != 0 {
		t.Errorf("baseline: %+v, want a kept connection", c)
	}
	_, v = p.complete(t, "/context-cancel?op=cache&delay=8s&timeout=1s")
	if c := v.Connections; c.Kept != 0 || c.FINByUs != 1 {
		t.Errorf("context-cancel: %+v, want a connection that ended by the client's FIN", c)
	}
	for _, path := range []string{
		"/context-cancel?op=http&backend=deaf&delay=4s&timeout=1s",
		"/io-timeout?op=db&delay=4s&timeout=1s",
	} {
		status, v := p.complete(t, path)
		// The backend has stopped, and its answer arrives shortly after.
		deadline := time.Now().Add(time.Minute)
		for v.Connections.RST == 0 && time.Now().Before(deadline) {
			time.Sleep(10 * time.Millisecond)
			p.get(t, "/receipts/"+v.ID, &v)
		}
		if c := v.Connections; status != 504 || c.Kept != 0 || c.Closed != 1 || c.RST != 1 {
			t.Errorf("%s: %d, %+v, want a connection that was reset", path, status, c)
		}
	}
	deadline := time.Now().Add(time.Minute)
	for {
		var got struct{ Sockets *wire.Sockets }
		p.get(t, "/sockets?op=cache", &got)
		if got.Sockets == nil || len(got.Sockets.Backends) != 1 {
			t.Fatalf("%+v", got)
		}
		if got.Sockets.Backends[0].Client["TIME-WAIT"] > 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("no socket is in TIME-WAIT: %+v", got.Sockets)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// A lab in a private network reaches the collector outside. The traces don't pass the
// bad network between the lab and its backends.
func TestTraceOutOfAPrivateNetwork(t *testing.T) {
	needPackets(t, nil)
	c := collect(t)
	p, _ := labProcess(t, nil, "--network=delay=50ms")
	p.ask(t, "/baseline?delay=0", sampled)
	spans := c.await(t, "GET /baseline", "baseline", "http")
	if !childOf(spans[2], spans[1]) {
		t.Errorf("the op's span %v is no child of the run's %v", spans[2], spans[1])
	}
}

// A lab's file may be replaced while it serves, as by an upgrade: its children are still of its own program.
func TestServeReplaced(t *testing.T) {
	p, lab := labProcess(t, nil)
	if err := os.Remove(lab.Path); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(lab.Path, []byte("#!/bin/sh\nexit 1\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	if status, run := p.complete(t, "/subprocess-kill?op=http&delay=0&timeout=20s"); status != http.StatusOK {
		t.Errorf("%d, %s", status, describe(run))
	}
}
