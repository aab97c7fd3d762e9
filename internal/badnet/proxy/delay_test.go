package proxy_test

import (
	"io"
	"net"
	"slices"
	"testing"
	"time"
)

func TestDelay(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]struct{ up, down time.Duration }{
		"none":                         {0, 0},
		"delay=50ms":                   {50 * ms, 50 * ms},
		"up.delay=80ms":                {80 * ms, 0},
		"down.delay=80ms":              {0, 80 * ms},
		"up.delay=20ms down.delay=1ms": {20 * ms, 1 * ms},
	} {
		t.Run(text, func(t *testing.T) {
			t.Parallel()
			l := newLab(t, text)
			client, server := l.connect()
			checkFastest(l, "up", client, server, want.up)
			checkFastest(l, "down", server, client, want.down)
		})
	}
}

func checkFastest(l *lab, what string, from, to net.Conn, asked time.Duration) {
	l.Helper()
	if took := l.fastest(from, to); took < asked || took > asked+20*ms {
		l.Errorf("%s: at least %s, and not %s", what, took, asked)
	}
}

// The kernel answers a dial before the proxy knows of it.
func TestDialIsNotDelayed(t *testing.T) {
	t.Parallel()
	l := newLab(t, "delay=10s")
	start := time.Now()
	client, err := net.Dial("tcp", l.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("a dial took %s", took)
	}
}

func TestJitter(t *testing.T) {
	t.Parallel()
	l := newLab(t, "up.delay=20ms up.jitter=10ms")
	client, server := l.connect()
	var took []time.Duration
	for range 60 {
		took = append(took, l.pass(client, server))
	}
	slices.Sort(took)
	least, lower, upper := took[0], took[15], took[45]
	if least < 10*ms || upper-lower < 3*ms { // of 10 ms between the quartiles
		t.Errorf("at least %s, the quartiles %s and %s", least, lower, upper)
	}
}

// Bytes have their delay and their time in the rate, one after the other, and
// several at once wait for each other in the rate alone.
func TestRate(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]struct{ up, down time.Duration }{
		"rate=800kbit":                     {500 * ms, 500 * ms},
		"up.rate=800kbit":                  {500 * ms, 0},
		"down.rate=1600kbit delay=250ms":   {250 * ms, 500 * ms},
		"down.rate=1600mbit up.rate=4mbit": {100 * ms, 0},
	} {
		t.Run(text, func(t *testing.T) {
			t.Parallel()
			l := newLab(t, text)
			client, server := l.connect()
			for _, w := range []struct {
				way      string
				from, to net.Conn
				asked    time.Duration
			}{{"up", client, server, want.up}, {"down", server, client, want.down}} {
				const size = 50_000
				least := patience
				for try := 0; try < 5 && least > w.asked+100*ms; try++ {
					start := time.Now()
					l.write(w.from, string(make([]byte, size)))
					if _, err := io.CopyN(io.Discard, w.to, size); err != nil {
						t.Fatal(err)
					}
					least = min(least, time.Since(start))
				}
				if least < w.asked*95/100 || least > w.asked+100*ms {
					t.Errorf("%s took %s, not %s", w.way, least, w.asked)
				}
			}
		})
	}
}
