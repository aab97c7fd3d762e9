package timewait

import (
	"context"
	"errors"
	"net"
	"syscall"

	"gotimeout/internal/sockets"
)

// restart stops a server that has closed a connection, and starts it again on its port.
func restart(ctx context.Context, l *lab) error {
	for _, c := range []struct {
		did, expected, why string
		before, after      control
		works              bool
	}{
		{"a server that closed first is stopped and started again, without SO_REUSEADDR", "address already in use",
			"The TIME-WAIT is still a socket on the server's port, and by default no second socket may be bound to the port.",
			nil, noReuseAddr(), false},
		{"the same with SO_REUSEADDR, as net.Listen sets it", "it listens",
			"With SO_REUSEADDR a socket that does not listen is no obstacle: a Go server can be restarted at once, as it is.",
			nil, nil, true},
		{"the first without SO_REUSEADDR, the second with it", "address already in use",
			"On Linux both sockets need the option: setting it for the second server does not help against connections of a first server without it.",
			noReuseAddr(), nil, false},
	} {
		s, err := listenAgain(ctx, c.before, c.after)
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

// listenAgain lets a server close a connection and stop, and then listens on its port.
func listenAgain(ctx context.Context, before, after control) (s Step, err error) {
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
	conns, err := settled(ctx, first.port)
	if err != nil {
		return s, err
	}
	waiting := count(conns.server, sockets.TimeWait)
	s.OK, s.ServerTimeWait = waiting == 1, &waiting
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
