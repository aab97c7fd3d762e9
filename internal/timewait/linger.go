package timewait

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"

	"gotimeout/internal/sockets"
)

// lingerBytes fit into the sender's buffer and not into the receiver's, which has lingerBuffer.
const lingerBytes, lingerBuffer = 64 << 10, 4 << 10

// linger closes a connection whose bytes are not all delivered, by default and with SO_LINGER 0.
func linger(ctx context.Context, l *lab) error {
	for _, c := range []struct {
		did, expected, why string
		reset              bool
	}{
		{"the client sends 64 KiB to a slow reader and closes", "all bytes arrive, then EOF; the client's end in TIME-WAIT",
			"Close returns at once, and the kernel delivers its buffer before the FIN. The price is the TIME-WAIT.", false},
		{"the same with SO_LINGER 0", "bytes are lost, connection reset by peer; no TIME-WAIT",
			"A close with SO_LINGER 0 drops the bytes that are not delivered and sends an RST: no TIME-WAIT, but the reader cannot tell a client that has finished from one that has crashed.", true},
	} {
		s, err := send(ctx, c.reset)
		if err != nil {
			return err
		}
		s.Did, s.Expected, s.Why = c.did, c.expected, c.why
		l.step(s)
	}
	return nil
}

// arrived is how many bytes a reader got from a connection, and the error at its end.
type arrived struct {
	bytes int64
	err   error
}

// send sends to a server that does not read until the client has closed.
func send(ctx context.Context, reset bool) (s Step, err error) {
	closed, got := make(chan struct{}), make(chan arrived, 1)
	srv, err := serve(ctx, "127.0.0.1", receiveBuffer(lingerBuffer), func(conn *net.TCPConn) {
		<-closed
		n, err := io.Copy(io.Discard, conn)
		// Not before the client has the acknowledgement of its FIN: an acknowledgement behind the server's FIN would be answered with
		// an RST, see Run.
		port := addrPort(conn.LocalAddr())
		_ = until(ctx, patience, func() (bool, error) {
			conns, err := look(port)
			return count(conns.client, sockets.FinWait1) == 0, err
		})
		got <- arrived{n, err}
	})
	if err != nil {
		return s, err
	}
	defer srv.close()
	before, err := sockets.Count()
	if err == nil {
		err = sendAndClose(ctx, srv.addr, reset)
	}
	close(closed)
	if err != nil {
		return s, err
	}
	a := <-got
	if a.err != nil && !errors.Is(a.err, syscall.ECONNRESET) {
		return s, a.err
	}
	conns, err := settled(ctx, srv.port)
	if err != nil {
		return s, err
	}
	after, err := sockets.Count()
	waiting, resets := count(conns.client, sockets.TimeWait), int(after.Sub(before).Resets)
	s.Figures = Figures{ClientTimeWait: &waiting, Resets: &resets}
	end := "then EOF"
	if a.err != nil {
		end = "then " + syscall.ECONNRESET.Error()
	}
	s.Saw = fmt.Sprintf("%d of %d bytes arrived, %s; %d TIME-WAIT, %d RST", a.bytes, lingerBytes, end, waiting, resets)
	if reset {
		s.OK = a.bytes < lingerBytes && a.err != nil && waiting == 0 && resets > 0
	} else {
		s.OK = a.bytes == lingerBytes && a.err == nil && waiting == 1 && resets == 0
	}
	return s, err
}

func sendAndClose(ctx context.Context, addr string, reset bool) error {
	conn, err := dial(ctx, net.Dialer{}, addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetWriteBuffer(4 * lingerBytes); err != nil {
		return err
	}
	if _, err := conn.Write(make([]byte, lingerBytes)); err != nil {
		return err
	}
	if reset {
		return conn.SetLinger(0)
	}
	return nil
}
