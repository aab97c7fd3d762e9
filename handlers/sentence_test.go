package handlers_test

import (
	"context"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"gotimeout/handlers"
	"gotimeout/internal/receipt"
	"gotimeout/slowops"
)

// Each kind of run has its sentence, on the page and in its lane of a race.
func TestSentence(t *testing.T) {
	const (
		cost     = "; 1 connection closed"
		nothing  = "; nothing was left behind"
		anHour   = "delay=2h&timeout=1h"
		deafHour = anHour + "&ctx=deaf"
	)
	for name, tc := range map[string]struct{ path, want string }{
		"in time":            {"/context-cancel?delay=1ms", "answered in time" + nothing + cost},
		"no bound":           {"/baseline?delay=2s&timeout=1s", "answered after 2.0 s: it has no bound" + nothing + cost},
		"bound":              {"/context-cancel?" + anHour, "answered on time" + nothing + cost},
		"no bound for it":    {"/context-cancel?" + deafHour, "answered after 2h0m0s: the bound did not hold" + nothing + cost},
		"timed out late":     {"/timer-panic?delay=1.5s&timeout=1s&ctx=deaf", "answered after 1.5 s: the bound did not hold" + nothing + cost},
		"a bit late":         {"/context-cancel?delay=1020ms&timeout=1s&ctx=deaf", "answered 20 ms late" + nothing + cost},
		"hardly late":        {"/errgroup?delay=1000.4ms&timeout=1s&ctx=deaf", "answered 0.4 ms late" + nothing + cost},
		"abandoned":          {"/goroutine-abandon?delay=5s&op=db", "answered on time; its goroutine and connection stayed for 4.0 s more; the database worked on for 4.0 s after the answer" + cost},
		"abandoned, briefly": {"/goroutine-abandon?delay=1005ms", "answered on time; its goroutine and connection stayed for 5.0 ms more" + cost},
		"abandoned, three":   {"/goroutine-abandon?op=all&delay=1.1s", "answered on time; its 3 goroutines and their connections stayed for 100 ms more; a backend worked on for 100 ms after the answer; 3 connections closed"},
		"deaf backend":       {"/context-cancel?backend=deaf&" + anHour, "answered on time; the HTTP server worked on for 1h0m0s after the answer" + cost},
		"computing":          {"/goroutine-abandon?op=db&work=cpu&delay=150s", "answered on time; its goroutine and connection stayed for 2m29s more; the database computed on for 2m29s after the answer" + cost},
		"unseen":             {"/context-cancel?op=unseen&" + anHour, "answered on time" + nothing + " in this process; when the backend stopped is unknown"},
		"lost sight":         {"/context-cancel?op=lost&" + anHour, "answered on time" + nothing + " in this process; when the backend stopped is unknown"},
		"unseen, completed":  {"/context-cancel?op=unseen&delay=0", "answered in time" + nothing},
		"no connection":      {"/goroutine-abandon?op=cpu&" + anHour, "answered on time; its goroutine stayed for 1h0m0s more"},
		"failed":             {"/errgroup?op=fails", "failed after 0.0 ms" + nothing},
		"a phase":            {"/io-timeout?op=phase&connect_timeout=30ms", "its connect_timeout passed after 30 ms; a dial went on after its call"},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, lab *handlers.Lab) {
				lab.Ops = append(lab.Ops, moreOps(lab)...)
				if got := sentence(t.Context(), t, lab, tc.path); got != tc.want {
					t.Errorf("%s\n%q, want\n%q", tc.path, got, tc.want)
				}
			})
		})
	}
}

func TestLeftCallerGone(t *testing.T) {
	bubble(t, func(t *testing.T, lab *handlers.Lab) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		want := "its caller left after 60.0 s; its goroutine and connection stayed for 1h59m0s more; the HTTP server worked on for 1h59m0s after the answer; 1 connection closed"
		if got := sentence(ctx, t, lab, "/goroutine-abandon?delay=2h&timeout=1h"); got != want {
			t.Errorf("%q, want\n%q", got, want)
		}
	})
}

// moreOps adds ops whose receipts lack a figure, or have more than usual.
func moreOps(lab *handlers.Lab) []handlers.Op {
	waits := func(ctx context.Context, c slowops.Call) error {
		select {
		case <-time.After(c.Delay):
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return []handlers.Op{
		{Name: "unseen", Dials: true, Parts: parts(waits)},
		{Name: "lost", Dials: true, Seen: true, Reports: 1, Parts: parts(func(ctx context.Context, c slowops.Call) error {
			rc := lab.Ledger.Get(c.Run)
			rc.BackendBegan()
			defer rc.BackendLost()
			return waits(ctx, c)
		})},
		{Name: "cpu", Parts: parts(func(_ context.Context, c slowops.Call) error {
			return waits(context.Background(), c)
		})},
		{Name: "phase", Parts: parts(func(_ context.Context, c slowops.Call) error {
			time.Sleep(c.ConnectTimeout)
			c.Outlived("a dialer with a timeout")
			return codedError{"connect_timeout", true}
		})},
	}
}

// sentence runs a path and returns the sentence on the page of its complete receipt.
func sentence(ctx context.Context, t *testing.T, lab *handlers.Lab, path string) string {
	t.Helper()
	serve(lab, request(ctx, http.MethodGet, path))
	settle(t, lab)
	r := request(t.Context(), http.MethodGet, "/receipts/lab-1")
	r.Header.Set("Accept", "text/html")
	page := serve(lab, r).Body.String()
	_, after, _ := strings.Cut(page, "</b>: ")
	text, _, found := strings.Cut(after, ".</p>")
	if !found {
		t.Fatalf("no sentence in\n%s", page)
	}
	return text
}

// The sentence leaves out a waste so short that it may be noise: a backend needs some
// time to notice that its client has left.
func TestLeftWithinNoise(t *testing.T) {
	bubble(t, func(t *testing.T, lab *handlers.Lab) {
		for _, late := range []time.Duration{9 * time.Millisecond, 10 * time.Millisecond} {
			lab.Ops[0].Parts = parts(func(ctx context.Context, c slowops.Call) error {
				rc := lab.Ledger.Get(c.Run)
				rc.BackendBegan()
				<-ctx.Done()
				time.AfterFunc(late, rc.BackendEnded)
				c.Dialed()
				c.Closed("rst", netip.AddrPort{}, netip.AddrPort{})
				return ctx.Err()
			})
			lab.Ledger = receipt.NewLedger("lab", 9, roomy)
			found := strings.Contains(sentence(t.Context(), t, lab, "/context-cancel"), "worked on for 10 ms")
			if found != (late == 10*time.Millisecond) {
				t.Errorf("%v: the sentence has the waste: %t", late, found)
			}
		}
	})
}
