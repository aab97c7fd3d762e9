package timewait

import (
	"context"
	"errors"
	"net"
	"syscall"

	"gotimeout/internal/sockets"
)

// restart stops a server that has closed a connection, and starts it again on
// its port.
func restart(ctx context.Context, l *lab) error {
	for _, c := range []struct {
		did, expected, why string
		before, after      control
		works              bool
	}{
		{"a server that closed first is stopped and started again, without SO_REUSEADDR", "address already in use",
			"The TIME-WAIT still is a socket on the server's port, and by default no two may be bound to one.",
			nil, noReuseAddr(), false},
		{"the same with SO_REUSEADDR, as net.Listen sets it", "it listens",
			"SO_REUSEADDR says that a socket which doesn't listen is no obstacle: a Go server needs nothing to be restarted at once.",
			nil, nil, true},
		{"the first without SO_REUSEADDR, the second with it", "address already in use",
			"On Linux both sockets must have had the option: setting it now doesn't help against the connections of a server that ran without.",
			noReuseAddr(), nil, false},
	} {
		s, err := again(ctx, c.before, c.after)
		if err != nil {
			return err
		}
		s.Did, s.Expected, s.Why = c.did, c.expected, c.why
		s.OK = s.OK && (s.Saw == listens) == c.works
		l.step(s)
	}
	return nil
}

const listens = "it listens"

// again has a server close a connection and end, and then listens on its port.
func again(ctx context.Context, before, after control) (s Step, err error) {
	first, err := serve(ctx, "127.0.0.1", before, func(*net.TCPConn) {})
	if err != nil {
		return s, err
	}
	conn, err := dial(ctx, net.Dialer{}, first.addr)
	if err == nil {
		_, _ = conn.Read(make([]byte, 1)) // until the server has closed
		conn.Close()
	}
	first.close()
	if err != nil {
		return s, err
	}
	e, err := settled(ctx, first.port)
	if err != nil {
		return s, err
	}
	s.OK = count(e.server, sockets.TimeWait) == 1
	s.ServerTimeWait = number(count(e.server, sockets.TimeWait))
	s.Saw = listens
	config := net.ListenConfig{Control: after}
	second, err := config.Listen(ctx, "tcp4", first.addr)
	if err == nil {
		second.Close()
		return s, nil
	}
	if !errors.Is(err, syscall.EADDRINUSE) {
		return s, err
	}
	s.Saw = err.Error()
	return s, nil
}
