package timewait

import (
	"context"
	"fmt"
	"io"
	"net"
	"time"

	"gotimeout/internal/sockets"
)

const hello = "hello\n"

// who closes a connection from the one end, the other, and both.
func who(ctx context.Context, l *lab) error {
	for _, c := range []struct {
		did, expected, why string
		first              func(ctx context.Context, c closing) error
		client, server     sockets.State
	}{
		{"a server says hello; the client closes first", "the client's end in TIME-WAIT, the server's gone",
			"The end that closes first keeps the TIME-WAIT: its last ACK may be lost, and then it must be there to send it again; and what the network still holds of this connection must not end up in the next one between the same ports.",
			clientFirst, sockets.TimeWait, sockets.Closed},
		{"the same, but the server closes first", "the server's end in TIME-WAIT, the client's gone",
			"A server that hangs up, as HTTP/1.0's and one with an idle timeout do, keeps the TIME-WAITs itself: on its own port, of which it has one for all clients, so it costs it memory and no ports.",
			serverFirst, sockets.Closed, sockets.TimeWait},
		{"both close at once: the link is down while they do", "both ends in TIME-WAIT",
			"The FINs cross, so each end is the first for itself: TCP calls it a simultaneous close, and both wait.",
			bothAtOnce, sockets.TimeWait, sockets.TimeWait},
	} {
		s, err := l.close(ctx, c.first, c.client, c.server)
		if err != nil {
			return err
		}
		s.Did, s.Expected, s.Why = c.did, c.expected, c.why
		l.step(s)
	}
	return nil
}

// closing is a connection after the hello, at both of its ends.
type closing struct{ client, server *net.TCPConn }

// close opens a connection, has it closed, and waits for what is to become of
// the two ends.
func (l *lab) close(ctx context.Context, how func(context.Context, closing) error, client, server sockets.State) (s Step, err error) {
	accepted, done := make(chan *net.TCPConn, 1), make(chan struct{})
	srv, err := serve(ctx, "127.0.0.1", nil, func(conn *net.TCPConn) {
		_, _ = io.WriteString(conn, hello)
		accepted <- conn
		<-done
	})
	if err != nil {
		return s, err
	}
	defer srv.close()
	defer close(done)
	conn, err := dial(ctx, net.Dialer{}, srv.addr)
	if err != nil {
		return s, err
	}
	defer conn.Close()
	if _, err := io.ReadFull(conn, make([]byte, len(hello))); err != nil {
		return s, err
	}
	at := conn.LocalAddr()
	if err := how(ctx, closing{conn, <-accepted}); err != nil {
		return s, err
	}
	var c, v sockets.State
	err = until(ctx, patience, func() (bool, error) {
		e, err := look(srv.port)
		c, v = state(e.client), state(e.server)
		return c == client && v == server, err
	})
	s.Saw = fmt.Sprintf("client %s %s, server %s %s", at, says(c), srv.addr, says(v))
	s.OK, s.Command = c == client && v == server, command(srv.port)
	return s, err
}

// dial connects, with a bound.
func dial(ctx context.Context, d net.Dialer, addr string) (*net.TCPConn, error) {
	d.Timeout = patience
	conn, err := d.DialContext(ctx, "tcp4", addr)
	if err != nil {
		return nil, err
	}
	_ = conn.SetDeadline(time.Now().Add(patience))
	return conn.(*net.TCPConn), nil
}

func clientFirst(_ context.Context, c closing) error { return inOrder(c.client, c.server) }
func serverFirst(_ context.Context, c closing) error { return inOrder(c.server, c.client) }

// inOrder closes the one end, and the other when it has heard of that.
func inOrder(first, second *net.TCPConn) error {
	first.Close()
	if n, err := second.Read(make([]byte, 1)); n > 0 || err != io.EOF {
		return fmt.Errorf("the other end's close came as %d bytes, %w", n, err)
	}
	return second.Close()
}

// bothAtOnce closes the ends while none hears of the other. Their FINs are sent
// again when the link is back.
func bothAtOnce(ctx context.Context, c closing) error {
	if err := link(false); err != nil {
		return err
	}
	c.client.Close()
	c.server.Close()
	return link(true)
}

// state is the one of a lone socket, Closed where there is none.
func state(of []sockets.Socket) sockets.State {
	if len(of) == 0 {
		return sockets.Closed
	}
	return of[0].State
}

func says(s sockets.State) string {
	if s == sockets.Closed {
		return "gone"
	}
	return s.String()
}
