package proxy_test

import (
	"net"
	"strings"
	"testing"
	"time"
)

// How a connection ends passes through the proxy behind the data, takes the
// delay of its way, and comes out as what it was.
func TestEnds(t *testing.T) {
	t.Parallel()
	const up, down = 150 * ms, 300 * ms
	halfClose := func(l *lab, c *net.TCPConn) { l.try(c.CloseWrite()) }
	closes := func(l *lab, c *net.TCPConn) { l.try(c.Close()) }
	resets := func(l *lab, c *net.TCPConn) { l.try(c.SetLinger(0)); l.try(c.Close()) }
	for name, tt := range map[string]struct {
		ends func(*lab, *net.TCPConn)
		data string // before
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
				l.pass(from, to) // else the reset may be the end of the proxy's dial
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

// What a client that has said all gets back is the whole answer.
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

// A server in the middle of an answer learns that its client has gone, one way
// up later; also where the client had half closed before.
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
			if name == "open" { // else only a write of the proxy's could tell
				near(t, "the reset", time.Since(gone), 200*ms)
			}
		})
	}
}

// A client whose backend is not there is connected, and reset.
func TestRefused(t *testing.T) {
	l := newLab(t, "none")
	l.try(l.listener.Close())
	client, err := net.Dial("tcp", l.addr)
	if isReset(err) {
		return // sooner than the dial was back
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

// Close waits for nothing that is under way.
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
