package main

import "testing"

// From a private network the collector outside is reached too, past whatever is
// between the lab and its backends.
func TestTraceOutOfAPrivateNetwork(t *testing.T) {
	needPackets(t, nil)
	c := collect(t)
	p, _ := labProcess(t, nil, "--network=delay=50ms")
	p.ask(t, "/baseline?delay=0", sampled)
	spans := c.await(t, "GET /baseline", "baseline", "http")
	if !childOf(spans[2], spans[1]) {
		t.Errorf("the op %v is none of the run's %v", spans[2], spans[1])
	}
}
