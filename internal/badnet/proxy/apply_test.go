package proxy_test

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"gotimeout/internal/badnet"
	"gotimeout/internal/badnet/proxy"
)

func TestApplyToAnOpenConnection(t *testing.T) {
	t.Parallel()
	l := newLab(t, "none")
	client, server := l.connect()
	for _, want := range []time.Duration{0, 100 * ms, 30 * ms, 0} {
		l.apply(badnet.Profile{Up: badnet.Link{Delay: want}}.String())
		checkFastest(l, want.String(), client, server, want)
	}
}

// What waits for a long time comes out when the network is good again.
func TestApplyReachesWhatWaits(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"delay=1m", "rate=8kbit", "delay=50ms rate=8kbit"} {
		l := newLab(t, text)
		client, server := l.connect()
		data := strings.Repeat("x", 200_000)
		l.write(client, data)
		if text != "delay=1m" { // else nothing has come yet, and what waits is not yet behind the rate
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

// No byte is lost, or overtakes another, however often the network changes.
func TestApplyKeepsTheBytes(t *testing.T) {
	l := newLab(t, "none")
	var streams sync.WaitGroup
	carry := func(from, to *net.TCPConn, seed uint64) {
		const size = 4 << 20
		streams.Go(func() {
			_, err := io.CopyN(from, rand.NewChaCha8(key(seed)), size)
			l.try(errors.Join(err, from.CloseWrite()))
		})
		streams.Go(func() {
			got, err := io.ReadAll(to)
			want := make([]byte, size)
			_, _ = rand.NewChaCha8(key(seed)).Read(want)
			if err != nil || string(got) != string(want) {
				t.Errorf("stream %d: %d of %d bytes, or others; %v", seed, len(got), size, err)
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

// A connection that nobody reads from doesn't hold up the others' network.
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
		t.Errorf("%d bytes, and not reset", len(got))
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
			"unknown": `there is no proxy in front of "other"; there are ones in front of: backend`,
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
