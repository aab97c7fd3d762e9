package main

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"gotimeout/internal/badnet/netlog"
	"gotimeout/internal/wire"
)

// watch begins a watch of a lab's network. The log so far has no cut line; leave ends it.
func (p program) watch(t *testing.T) (status int, sofar func() *netlog.Recorded, leave func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, p.url+"/network/log?for=60s", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	lines, read := new(lockedBuffer), make(chan bool)
	go func() {
		defer close(read)
		_, _ = io.Copy(lines, resp.Body)
	}()
	sofar = func() *netlog.Recorded {
		t.Helper()
		r, err := netlog.Read(strings.NewReader(lines.String()))
		if err != nil {
			t.Fatalf("%v in %s", err, lines)
		}
		return r
	}
	leave = func() { cancel(); <-read; resp.Body.Close() }
	t.Cleanup(leave)
	eventually(t, "the answer begins", func() bool { return strings.Contains(lines.String(), "\n") })
	return resp.StatusCode, sofar, leave
}

// sums are the counts of both directions of a log, from one bucket on, the lowest of the p50s, and the last rates.
func sums(r *netlog.Recorded, from int) (up, down netlog.Way) {
	for _, b := range r.Buckets[from:] {
		for sum, w := range map[*netlog.Way]netlog.Way{&up: b.Up, &down: b.Down} {
			sum.Rate = w.Rate
			sum.SentBytes, sum.SentPackets = sum.SentBytes+w.SentBytes, sum.SentPackets+w.SentPackets
			sum.Bytes, sum.Packets, sum.Lost = sum.Bytes+w.Bytes, sum.Packets+w.Packets, sum.Lost+w.Lost
			if w.DelayP50 != nil && (sum.DelayP50 == nil || *w.DelayP50 < *sum.DelayP50) {
				sum.DelayP50 = w.DelayP50
			}
		}
	}
	return up, down
}

// The log of a lab's network has the packets of its runs with the delays of the profile, and none of a calibration, and
// the network changes while it is watched.
func TestWatchTheLab(t *testing.T) {
	t.Parallel()
	users(t, func(t *testing.T, prefix []string) {
		p, _ := labProcess(t, prefix, "--network=up.delay=50ms down.delay=100ms", "--network-driver=tun")
		_, sofar, _ := p.watch(t)
		change := func(profile string) (after int) {
			t.Helper()
			if status, _ := p.change(t, "PUT", "/network", profile); status != http.StatusOK {
				t.Fatal(status)
			}
			after = len(sofar().Buckets) + 1
			eventually(t, "the log goes on", func() bool { return len(sofar().Buckets) > after })
			return after
		}
		after := change("up.delay=50ms down.delay=100ms rate=4mbit")
		if up, down := sums(sofar(), 0); up.SentPackets+down.SentPackets > 0 || *up.Rate != 4e6 || *down.Rate != 4e6 {
			t.Errorf("before the first run: up %s, down %s", describeWay(up), describeWay(down))
		}
		for range 5 {
			p.complete(t, "/baseline?op=cache")
		}
		eventually(t, "everything is delivered", func() bool {
			up, down := sums(sofar(), after)
			return up.SentPackets > 5 && down.SentPackets > 5 && up.Packets == up.SentPackets && down.Packets == down.SentPackets
		})
		up, down := sums(sofar(), after)
		for w, delay := range map[netlog.Way]float64{up: 50, down: 100} {
			if *w.DelayP50 < delay || *w.DelayP50 > delay+40 || w.Bytes != w.SentBytes || w.Bytes < 40*w.Packets || w.Lost > 0 {
				t.Errorf("for %g ms: %s, %d of %d bytes", delay, describeWay(w), w.Bytes, w.SentBytes)
			}
		}
		after = change("blackhole")
		p.complete(t, "/context-cancel?op=http&timeout=100ms")
		eventually(t, "packets are lost", func() bool { up, _ := sums(sofar(), after); return up.Lost > 0 })
		if up, _ := sums(sofar(), after); up.Packets > 0 || int(up.Lost) != up.SentPackets || up.Rate != nil {
			t.Errorf("through a black hole: %s, %d lost", describeWay(up), up.Lost)
		}
		if r := sofar(); r.Profile != "up.delay=50ms down.delay=100ms" || r.Driver != "tun" || r.Seed != seed {
			t.Errorf("%+v", r.Header)
		}
	})
}

// Eight may watch at once. After they have left, others may.
func TestWatchersLeave(t *testing.T) {
	t.Parallel()
	needPackets(t, nil)
	p, _ := labProcess(t, nil, "--network=none", "--network-driver=tun")
	var leaves []func()
	for i := range 8 {
		status, _, leave := p.watch(t)
		if leaves = append(leaves, leave); status != http.StatusOK {
			t.Fatalf("watch %d: %d", i+1, status)
		}
	}
	var a wire.Answer
	if status := p.get(t, "/network/log", &a); status != http.StatusServiceUnavailable || a.Error.Code != "too_many_watches" {
		text, _ := json.Marshal(a)
		t.Errorf("a ninth: %d, %s", status, text)
	}
	for _, leave := range leaves {
		leave()
	}
	eventually(t, "another may watch", func() bool {
		status, _, leave := p.watch(t)
		leave()
		return status == http.StatusOK
	})
}
