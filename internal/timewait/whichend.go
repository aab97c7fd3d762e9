package timewait

import (
	"context"
	"fmt"
	"io"
	"net"

	"gotimeout/internal/sockets"
)

const hello = "hello\n"

// whichEnd closes a connection from the client's end, from the server's, and from both.
func whichEnd(ctx context.Context, l *lab) error {
	for _, c := range []struct {
		did, expected, why string
		first              func(ctx context.Context, c closing) error
		client, server     sockets.State
	}{
		{"a server says hello; the client closes first", "the client's end in TIME-WAIT, the server's gone",
			"The end that closes first keeps the TIME-WAIT. If its last ACK is lost, it must be there to send the ACK again; and late segments of this connection must not arrive in the next connection between the same ports.",
			clientFirst, sockets.TimeWait, sockets.Closed},
		{"the same, but the server closes first", "the server's end in TIME-WAIT, the client's gone",
			"A server that closes first, as one of HTTP/1.0 or one with an idle timeout does, keeps the TIME-WAITs on its own port. All its connections share that port, so they cost the server memory and no ports.",
			serverFirst, sockets.Closed, sockets.TimeWait},
		{"both close at once: the link is down while they do", "both ends in TIME-WAIT",
			"The FINs cross, so each end has closed first, as far as it knows: TCP calls this a simultaneous close, and both ends wait.",
			bothAtOnce, sockets.TimeWait, sockets.TimeWait},
	} {
		s, err := closeConnection(ctx, c.first, c.client, c.server)
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

// closeConnection opens a connection, closes it in the given way, and waits until its ends have the states that are expected.
func closeConnection(ctx context.Context, how func(context.Context, closing) error, client, server sockets.State) (s Step, err error) {
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
	var atClient, atServer sockets.State
	err = until(ctx, patience, func() (bool, error) {
		conns, err := look(srv.port)
		atClient, atServer = state(conns.client), state(conns.server)
		return atClient == client && atServer == server, err
	})
	s.Saw = fmt.Sprintf("client %s %s, server %s %s", at, stateText(atClient), srv.addr, stateText(atServer))
	s.OK, s.Command = atClient == client && atServer == server, command(srv.port)
	return s, err
}

func clientFirst(_ context.Context, c closing) error { return inOrder(c.client, c.server) }
func serverFirst(_ context.Context, c closing) error { return inOrder(c.server, c.client) }

// inOrder closes the first end, and the second when it has read the EOF.
func inOrder(first, second *net.TCPConn) error {
	first.Close()
	if n, err := second.Read(make([]byte, 1)); n > 0 || err != io.EOF {
		return fmt.Errorf("the other end read %d bytes and %v instead of EOF", n, err)
	}
	return second.Close()
}

// bothAtOnce closes both ends while the link is down, so that neither gets the other's FIN. The FINs are sent again when the link is
// up.
func bothAtOnce(ctx context.Context, c closing) error {
	if err := link(false); err != nil {
		return err
	}
	c.client.Close()
	c.server.Close()
	return link(true)
}

// state returns the state of the only socket, or Closed without a socket.
func state(of []sockets.Socket) sockets.State {
	if len(of) == 0 {
		return sockets.Closed
	}
	return of[0].State
}

func stateText(s sockets.State) string {
	if s == sockets.Closed {
		return "gone"
	}
	return s.String()
}
