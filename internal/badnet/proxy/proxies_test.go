package proxy_test

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"gotimeout/internal/badnet"
	"gotimeout/internal/badnet/proxy"

	"github.com/rs/zerolog"
	"github.com/rs/zerolog/log"
	"go.uber.org/goleak"
)

const (
	ms       = time.Millisecond
	patience = time.Minute      // the bound for an event that should come soon
	slack    = 10 * time.Second // the time that a busy machine may add
)

// The package logs nothing, though toxiproxy also writes to zerolog's global logger.
func TestMain(m *testing.M) {
	said := new(bytes.Buffer)
	log.Logger = zerolog.New(zerolog.SyncWriter(said))
	flag.Parse()
	_ = flag.Set("test.parallel", "8") // the tests mostly wait, so more of them run at once than there are processors
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		if said.Len() > 0 {
			fmt.Printf("toxiproxy is not silent: %s\n", said)
			code = 1
		}
		os.Exit(code)
	}))
}

func profile(t *testing.T, text string) badnet.Profile {
	t.Helper()
	p, err := badnet.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// lab is one backend behind its proxy.
type lab struct {
	*testing.T
	proxies  *proxy.Proxies
	addr     string
	listener net.Listener
}

const backend = "backend"

// newLab puts a proxy with the profile in front of a listener.
func newLab(t *testing.T, text string) *lab {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &lab{T: t, proxies: proxy.New(), listener: listener}
	t.Cleanup(func() {
		listener.Close()
		if err := l.proxies.Close(); err != nil {
			t.Error(err)
		}
	})
	if l.addr, err = l.proxies.Attach(backend, listener.Addr().String()); err != nil {
		t.Fatal(err)
	}
	l.apply(text)
	return l
}

func (l *lab) apply(text string) {
	l.Helper()
	if err := l.proxies.Apply(backend, profile(l.T, text)); err != nil {
		l.Fatal(err)
	}
}

// connect returns both ends of a connection through the proxy.
func (l *lab) connect() (client, server *net.TCPConn) {
	l.Helper()
	c, err := net.Dial("tcp", l.addr)
	if err != nil {
		l.Fatal(err)
	}
	s, err := l.listener.Accept()
	if err != nil {
		l.Fatal(err)
	}
	l.Cleanup(func() { c.Close(); s.Close() })
	for _, conn := range []net.Conn{c, s} {
		if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
			l.Fatal(err)
		}
	}
	return c.(*net.TCPConn), s.(*net.TCPConn)
}

// pass writes a byte into one end, and returns how long it takes to the other end.
func (l *lab) pass(from, to net.Conn) time.Duration {
	l.Helper()
	start := time.Now()
	l.write(from, "x")
	if _, err := io.ReadFull(to, make([]byte, 1)); err != nil {
		l.Fatal(err)
	}
	return time.Since(start)
}

func (l *lab) write(to io.Writer, text string) {
	l.Helper()
	if _, err := io.WriteString(to, text); err != nil {
		l.Fatal(err)
	}
}

// outcome reads to the end, and returns the bytes and the kind of end.
func outcome(from io.Reader) string {
	data, err := io.ReadAll(from)
	end := "close"
	switch {
	case isReset(err):
		end = "reset"
	case err != nil:
		end = err.Error()
	}
	return string(data) + "|" + end
}

const wsaeConnReset = syscall.Errno(10054) // ECONNRESET of Windows

func isReset(err error) bool {
	return errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) || errors.Is(err, wsaeConnReset)
}

// near fails the test unless took is asked, or at most slack longer.
func near(t *testing.T, what string, took, asked time.Duration) {
	t.Helper()
	if took < asked || took > asked+slack {
		t.Errorf("%s took %s, not %s", what, took, asked)
	}
}

func TestCheck(t *testing.T) {
	for text, want := range map[string]string{
		"none":                                 "",
		"delay=1m jitter=1m":                   "",
		"delay=100ms jitter=20ms rate=1mbit":   "",
		"rate=1kbit":                           "",
		"rate=408300bit":                       "",
		"rate=1000gbit":                        "",
		"limit=1000":                           "", // the default
		"delay=1ms up.delay=2ms up.rate=8mbit": "",

		"loss=5%":              "the proxy driver can't lose packets (loss=5%), since a proxy sees none: use netem or tun, or leave loss out",
		"blackhole":            "the proxy driver can't lose packets (loss=100%), since a proxy sees none: use netem or tun, or leave loss out",
		"up.loss=5%":           "the proxy driver can't lose packets (up.loss=5%), since a proxy sees none: use netem or tun, or leave up.loss out",
		"loss=5%,burst=3":      "the proxy driver can't lose packets (loss=5%,burst=3), since a proxy sees none: use netem or tun, or leave loss out",
		"down.limit=50":        "the proxy driver can't count packets (down.limit=50), since a proxy sees none: use netem or tun, or leave down.limit out",
		"rate=1mbit queue=pie": "the proxy driver can't queue packets (queue=pie), since a proxy sees none: use netem or tun, or leave queue out",
		"corrupt=1%":           "the proxy driver can't corrupt packets (corrupt=1%), since a proxy sees none: use netem or tun, or leave corrupt out",
		"outage=1s,every=9s":   "the proxy driver can't lose packets (outage=1s,every=9s), since a proxy sees none: use netem or tun, or leave outage out",
		"duplicate=0.1%":       "the proxy driver can't duplicate packets (duplicate=0.1%), since a proxy sees none: use netem or tun, or leave duplicate out",
		"delay=1s reorder=1%":  "the proxy driver can't reorder packets (reorder=1%), since a proxy sees none: use netem or tun, or leave reorder out",

		"delay=1s jitter=9ms,normal":    "the proxy driver has no jitter but a uniform one (jitter=9ms,normal): use netem or tun, or write jitter=9ms",
		"delay=1s up.jitter=9ms,pareto": "the proxy driver has no jitter but a uniform one (up.jitter=9ms,pareto): use netem or tun, or write up.jitter=9ms",
		"delay=1500us":                  "the proxy driver can't split a millisecond (delay=1.5ms): use netem or tun, or write delay=2ms",
		"delay=1s down.jitter=1ns":      "the proxy driver can't split a millisecond (down.jitter=1ns): use netem or tun, or write down.jitter=1ms",
	} {
		err := proxy.Check(profile(t, text))
		if err == nil && want == "" {
			continue
		}
		if err == nil || err.Error() != want {
			t.Errorf("%s:\ngot  %v\nwant %s", text, err, want)
		} else if !errors.Is(err, badnet.ErrCannot) {
			t.Errorf("%s: no ErrCannot", text)
		}
	}
}

// A proxy accepts the presets that neither lose nor count packets.
func TestCheckPresets(t *testing.T) {
	for _, p := range badnet.Presets() {
		up := p.Profile.Up
		packets := up.Loss > 0 || up.Outage > 0 || up.Limit > 0
		if err := proxy.Check(p.Profile); (err != nil) != packets {
			t.Errorf("%s: %v", p.Name, err)
		}
	}
}

func TestCheckAtTheBounds(t *testing.T) {
	l := badnet.Link{Delay: time.Minute - 1}
	if err := proxy.Check(badnet.Profile{Down: l}); err == nil {
		t.Error("a nanosecond is accepted")
	}
}

func TestDelay(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]struct{ up, down time.Duration }{
		"none":                       {0, 0},
		"delay=50ms":                 {50 * ms, 50 * ms},
		"up.delay=1s":                {1000 * ms, 0},
		"down.delay=1s":              {0, 1000 * ms},
		"up.delay=1s down.delay=1ms": {1000 * ms, 1 * ms},
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

// off is what a pass may take longer than asked. It is less than the difference between two
// delays of a test.
const off = 500 * ms

// checkFastest takes the shortest of several passes, because a busy machine makes some longer.
func checkFastest(l *lab, what string, from, to net.Conn, asked time.Duration) {
	l.Helper()
	took := patience
	for try := 0; try < 9 && took > asked+off; try++ {
		took = min(took, l.pass(from, to))
	}
	if took < asked || took > asked+off {
		l.Errorf("%s: at least %s, and not %s", what, took, asked)
	}
}

// The kernel completes a dial before the proxy accepts it.
func TestDialIsNotDelayed(t *testing.T) {
	t.Parallel()
	l := newLab(t, "delay=10s")
	start := time.Now()
	client, err := net.Dial("tcp", l.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if took := time.Since(start); took > 9*time.Second {
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
	if least < 10*ms || upper-lower < 3*ms { // the quartiles are 10 ms apart
		t.Errorf("at least %s, the quartiles %s and %s", least, lower, upper)
	}
}

// A byte first waits for the rate and then has its delay. Bytes that are sent at once
// wait for each other at the rate, and not in the delay.
func TestRate(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]struct{ up, down time.Duration }{
		"rate=400kbit":                       {1000 * ms, 1000 * ms},
		"up.rate=400kbit":                    {1000 * ms, 0},
		"down.rate=400kbit delay=250ms":      {250 * ms, 1250 * ms},
		"down.rate=1600mbit up.rate=400kbit": {1000 * ms, 0},
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
				for try := 0; try < 5 && least > w.asked+off; try++ {
					start := time.Now()
					l.write(w.from, string(make([]byte, size)))
					if _, err := io.CopyN(io.Discard, w.to, size); err != nil {
						t.Fatal(err)
					}
					least = min(least, time.Since(start))
				}
				if least < w.asked*95/100 || least > w.asked+off {
					t.Errorf("%s took %s, not %s", w.way, least, w.asked)
				}
			}
		})
	}
}

// All connections of a link share its rate, and take turns.
func TestRateOfAllConnections(t *testing.T) {
	t.Parallel()
	const connections, size, asked = 4, 25_000, 1000 * ms // 100 kB at 800 kbit/s
	l := newLab(t, "down.rate=800kbit")
	least := patience
	for try := 0; try < 5 && least > asked+off; try++ {
		var all sync.WaitGroup
		var took [connections]time.Duration
		var clients, servers [connections]*net.TCPConn
		for i := range connections {
			clients[i], servers[i] = l.connect()
		}
		start := time.Now()
		for i, client := range clients {
			server := servers[i]
			all.Go(func() {
				if _, err := server.Write(make([]byte, size)); err != nil {
					t.Error(err)
				}
			})
			all.Go(func() {
				if _, err := io.CopyN(io.Discard, client, size); err != nil {
					t.Error(err)
				}
				took[i] = time.Since(start)
			})
		}
		all.Wait()
		least = min(least, slices.Max(took[:]))
		if first := slices.Min(took[:]); first < asked/2 {
			t.Errorf("one of %d connections had its %d bytes after %s", connections, size, first)
		}
	}
	if least < asked*95/100 || least > asked+off {
		t.Errorf("%d connections took %s together, not %s", connections, least, asked)
	}
}
