package proxy_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"gotimeout/internal/backends"
	cachebackend "gotimeout/internal/backends/cache"
	dbbackend "gotimeout/internal/backends/db"
	httpbackend "gotimeout/internal/backends/http"
	"gotimeout/internal/badnet"
	"gotimeout/internal/badnet/proxy"
	"gotimeout/slowops"
)

func TestApplyToAnOpenConnection(t *testing.T) {
	t.Parallel()
	l := newLab(t, "none")
	client, server := l.connect()
	for _, want := range []time.Duration{0, 2000 * ms, 1000 * ms, 0} {
		l.apply(badnet.Profile{Up: badnet.Link{Delay: want}}.String())
		checkFastest(l, want.String(), client, server, want)
	}
}

// Bytes that wait for a long delay arrive when the network is good again.
func TestApplyReachesWhatWaits(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"delay=1m", "rate=8kbit", "delay=50ms rate=8kbit"} {
		l := newLab(t, text)
		client, server := l.connect()
		data := strings.Repeat("x", 200_000)
		l.write(client, data)
		if text != "delay=1m" { // with a delay of a minute nothing arrives first
			_, err := io.ReadFull(server, make([]byte, 1))
			l.try(err)
			data = data[1:]
		}
		l.apply("delay=1ms rate=80mbit")
		l.try(client.Close())
		if got := outcome(server); got != data+"|close" {
			t.Errorf("%s: %d bytes", text, len(got))
		}
	}
}

// However often the network changes, no byte is lost and none overtakes another.
func TestApplyKeepsTheBytes(t *testing.T) {
	l := newLab(t, "none")
	var streams sync.WaitGroup
	carry := func(from, to *net.TCPConn, seed uint64) {
		const size = 1 << 20
		streams.Go(func() {
			_, err := io.CopyN(from, rand.NewChaCha8(key(seed)), size)
			l.try(errors.Join(err, from.CloseWrite()))
		})
		streams.Go(func() {
			got, err := io.ReadAll(to)
			want := make([]byte, size)
			_, _ = rand.NewChaCha8(key(seed)).Read(want)
			if err != nil || string(got) != string(want) {
				t.Errorf("stream %d: %d of %d bytes, or wrong ones; %v", seed, len(got), size, err)
			}
		})
	}
	for i := range uint64(4) {
		client, server := l.connect()
		carry(client, server, 2*i)
		carry(server, client, 2*i+1)
	}
	done := make(chan bool)
	go func() { streams.Wait(); close(done) }()
	for i := 0; ; i++ {
		select {
		case <-done:
			return
		default:
			l.apply([]string{"delay=2ms jitter=1ms", "rate=400mbit", "down.delay=1ms rate=800mbit", "none"}[i%4])
		}
	}
}

func key(seed uint64) (k [32]byte) { k[0] = byte(seed); return k }

// A connection from which nobody reads doesn't delay a change for the others.
func TestApplyWithAReaderThatReadsNothing(t *testing.T) {
	t.Parallel()
	l := newLab(t, "none")
	stuck, deaf := l.connect()
	client, server := l.connect()
	for err := error(nil); err == nil; {
		l.try(stuck.SetWriteDeadline(time.Now().Add(500 * ms)))
		_, err = stuck.Write(make([]byte, 1<<20))
	}
	start := time.Now()
	l.apply("delay=20ms")
	if took := time.Since(start); took > patience {
		t.Errorf("Apply took %s", took)
	}
	if got := outcome(deaf); !strings.HasSuffix(got, "|reset") {
		t.Errorf("%d bytes, and no reset", len(got))
	}
	near(t, "another connection", l.pass(client, server), 20*ms)
}

func TestApplyRefuses(t *testing.T) {
	l := newLab(t, "delay=20ms")
	client, server := l.connect()
	for what, err := range map[string]error{
		"loss":    l.proxies.Apply(backend, profile(t, "loss=1%")),
		"unknown": l.proxies.Apply("other", profile(t, "none")),
	} {
		want := map[string]string{
			"loss":    "the proxy driver can't lose packets (loss=1%), since a proxy sees none: use netem or tun, or leave loss out",
			"unknown": `there is no proxy in front of "other"; there are proxies in front of: backend`,
		}[what]
		if fmt.Sprint(err) != want {
			t.Errorf("%s: %v", what, err)
		}
	}
	near(t, "after the errors", l.pass(client, server), 20*ms)
}

func TestAttachRefuses(t *testing.T) {
	l := newLab(t, "none")
	attach := func(name, upstream string) string {
		_, err := l.proxies.Attach(name, upstream)
		return fmt.Sprint(err)
	}
	check(t, attach(backend, "127.0.0.1:1"), "there is a proxy in front of backend already; attach it once, or under another name")
	check(t, attach("db", "/run/db.sock"), "a proxy can't be put in front of db: address /run/db.sock: missing port in address; write its address as host:port")
	l.try(l.proxies.Close())
	l.try(l.proxies.Close())
	check(t, attach("cache", "127.0.0.1:1"), "a proxy can't be put in front of cache: the proxies are closed; make new ones")
	check(t, fmt.Sprint(l.proxies.Apply(backend, badnet.Profile{})), "the network of backend can't be changed: the proxies are closed; make new ones")
	l.try(proxy.New().Close())
}

func check(t *testing.T, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// The end of a connection passes through the proxy behind the data, after the delay of
// its direction. A half close stays a half close, a close a close, and a reset a reset.
func TestEnds(t *testing.T) {
	t.Parallel()
	const up, down = 150 * ms, 300 * ms
	halfClose := func(l *lab, c *net.TCPConn) { l.try(c.CloseWrite()) }
	closes := func(l *lab, c *net.TCPConn) { l.try(c.Close()) }
	resets := func(l *lab, c *net.TCPConn) { l.try(c.SetLinger(0)); l.try(c.Close()) }
	for name, tt := range map[string]struct {
		ends func(*lab, *net.TCPConn)
		data string // sent before the end
		want string
	}{
		"half close":            {halfClose, "", "|close"},
		"half close after data": {halfClose, "hello", "hello|close"},
		"close":                 {closes, "", "|close"},
		"close after data":      {closes, "hello", "hello|close"},
		"reset":                 {resets, "", "|reset"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, by := range []string{"client", "server"} {
				l := newLab(t, "none")
				from, to := l.connect()
				l.pass(from, to) // without it the reset may come while the proxy dials
				l.apply("up.delay=150ms down.delay=300ms")
				asked := up
				if by == "server" {
					from, to, asked = to, from, down
				}
				start := time.Now()
				l.write(from, tt.data)
				tt.ends(l, from)
				if got := outcome(to); got != tt.want {
					t.Errorf("the %s's %s: got %s, want %s", by, name, got, tt.want)
				}
				near(t, "the "+by+"'s "+name, time.Since(start), asked)
			}
		})
	}
}

// A client that half closes its connection still gets the whole answer.
func TestHalfCloseLeavesTheOtherHalf(t *testing.T) {
	l := newLab(t, "delay=50ms")
	client, server := l.connect()
	l.write(client, "question")
	l.try(client.CloseWrite())
	if got := outcome(server); got != "question|close" {
		t.Error(got)
	}
	answer := strings.Repeat("answer", 100_000)
	l.write(server, answer)
	l.try(server.Close())
	if got := outcome(client); got != answer+"|close" {
		t.Errorf("%d bytes", len(got))
	}
}

// A server in the middle of an answer learns one delay later that its client has gone,
// also where the client had half closed before.
func TestClientGoesInTheMiddleOfTheAnswer(t *testing.T) {
	t.Parallel()
	for name, before := range map[string]func(l *lab, client, server *net.TCPConn){
		"open":        func(*lab, *net.TCPConn, *net.TCPConn) {},
		"half closed": func(l *lab, c, s *net.TCPConn) { l.try(c.CloseWrite()); _ = outcome(s) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t, "up.delay=200ms")
			client, server := l.connect()
			before(l, client, server)
			l.pass(server, client)
			gone := time.Now()
			l.try(client.SetLinger(0))
			l.try(client.Close())
			var err error
			for err == nil {
				_, err = server.Write(make([]byte, 64<<10))
			}
			if !isReset(err) {
				t.Error(err)
			}
			if name == "open" { // after a half close only a write of the proxy could tell
				near(t, "the reset", time.Since(gone), 200*ms)
			}
		})
	}
}

// Where the backend can't be dialed, the client is connected and then reset.
func TestRefused(t *testing.T) {
	l := newLab(t, "none")
	l.try(l.listener.Close())
	client, err := net.Dial("tcp", l.addr)
	if isReset(err) {
		return // the reset came before Dial returned
	}
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	l.try(client.SetDeadline(time.Now().Add(patience)))
	if got := outcome(client); got != "|reset" {
		t.Error(got)
	}
}

// Close doesn't wait for bytes that are under way.
func TestCloseEndsAll(t *testing.T) {
	l := newLab(t, "delay=1m rate=8kbit")
	type pair struct{ client, server *net.TCPConn }
	var pairs []pair
	for range 10 {
		client, server := l.connect()
		l.write(client, strings.Repeat("up", 100_000))
		l.write(server, strings.Repeat("down", 100_000))
		pairs = append(pairs, pair{client, server})
	}
	l.try(pairs[0].client.Close())
	l.try(pairs[1].server.CloseWrite())
	start := time.Now()
	l.try(l.proxies.Close())
	if took := time.Since(start); took > patience/2 {
		t.Errorf("Close took %s", took)
	}
	for _, p := range pairs[2:] {
		if got := outcome(p.client) + outcome(p.server); got != "|reset|reset" {
			t.Error(got)
		}
	}
	if _, err := net.Dial("tcp", l.addr); err == nil {
		t.Error("there is still a proxy")
	}
}

func (l *lab) try(err error) {
	l.Helper()
	if err != nil {
		l.Error(err)
	}
}

// Through its proxy each backend of the lab answers a round trip later, and learns
// half a round trip later that its client has gone.
func TestBackends(t *testing.T) {
	t.Parallel()
	const oneWay = 100 * ms
	for name, start := range map[string]func(backends.Options) (*backends.Server, error){
		"http": httpbackend.Start, "cache": cachebackend.Start, "db": dbbackend.Start,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			began, ended := make(chan bool, 1), make(chan time.Time, 1)
			server, err := start(backends.Options{
				MaxDelay: time.Minute,
				Began:    func(string) { began <- true },
				Ended:    func(string) { ended <- time.Now() },
			})
			if err != nil {
				t.Fatal(err)
			}
			defer server.Close()
			proxies := proxy.New()
			defer proxies.Close()
			via, err := proxies.Attach(name, server.Addr)
			if err != nil {
				t.Fatal(err)
			}
			if err := proxies.Apply(name, profile(t, "delay=100ms")); err != nil {
				t.Fatal(err)
			}
			do := op(t, name, server.Addr, via)

			asked := time.Now()
			if err := do(t.Context(), slowops.Call{Run: "first"}); err != nil {
				t.Fatal(err)
			}
			if took := time.Since(asked); took < 2*oneWay {
				t.Errorf("the answer took %s", took)
			}
			<-began
			<-ended
			if name == "db" {
				return // MySQL checks every 5 s whether its client is still connected
			}

			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			var left time.Time
			go func() {
				<-began
				left = time.Now()
				cancel()
			}()
			if err := do(ctx, slowops.Call{Run: "second", Delay: time.Minute}); !errors.Is(err, context.Canceled) {
				t.Fatal(err)
			}
			near(t, "that the client has gone", (<-ended).Sub(left), oneWay)
		})
	}
}

// op returns the op of a backend, through a proxy.
func op(t *testing.T, name, addr, via string) func(context.Context, slowops.Call) error {
	t.Helper()
	switch name {
	case "http":
		op := slowops.NewHTTP("http://"+addr, 0)
		op.Via = via
		t.Cleanup(op.Close)
		return op.Do
	case "cache":
		op := slowops.NewCache(addr)
		op.Via = via
		t.Cleanup(op.Close)
		return op.Do
	default:
		cfg, _, err := slowops.ParseDSN("lab@tcp(" + addr + ")/lab")
		if err != nil {
			t.Fatal(err)
		}
		op := slowops.NewMySQL(cfg, 0)
		op.Via = via
		t.Cleanup(op.Close)
		return op.Do
	}
}
