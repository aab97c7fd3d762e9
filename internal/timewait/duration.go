package timewait

import (
	"context"
	"fmt"
	"time"

	"gotimeout/internal/sockets"
)

const (
	// timeWaitLength is TCP_TIMEWAIT_LEN, a constant of Linux. The kernel's timers may be an eighth late.
	timeWaitLength, timeWaitLate = 60 * time.Second, 9 * time.Second
	fastWatch                    = 3 * time.Second
)

// duration watches a TIME-WAIT.
func duration(ctx context.Context, l *lab) error {
	// tcp_fin_timeout is often said to be the length of a TIME-WAIT: try it at its shortest.
	undo, err := set("tcp_fin_timeout", "1")
	if err != nil {
		return err
	}
	defer undo()
	var port uint16
	began := time.Now()
	s, err := closeConnection(ctx, func(ctx context.Context, c closing) error {
		port = addrPort(c.client.RemoteAddr())
		return clientFirst(ctx, c)
	}, sockets.TimeWait, sockets.Closed)
	if err != nil {
		return err
	}
	bound := timeWaitLength + timeWaitLate
	if l.fast {
		bound = fastWatch
	}
	gone := false
	if err := until(ctx, time.Until(began.Add(bound)), func() (bool, error) {
		conns, err := look(port)
		gone = len(conns.client) == 0
		return gone, err
	}); err != nil {
		return err
	}
	took := time.Since(began)
	seconds := took.Seconds()
	s.Seconds = &seconds
	s.Did = "watched a TIME-WAIT until it was gone, with tcp_fin_timeout=1"
	s.Expected = fmt.Sprintf("gone after %.0f s to %.0f s", timeWaitLength.Seconds(), bound.Seconds())
	s.Why = "In Linux the 60 s are a constant, and no setting changes them: tcp_fin_timeout, which is often named as one, bounds how long a closed connection may be in FIN-WAIT-2."
	s.Saw = fmt.Sprintf("gone after %.1f s", seconds)
	if !gone {
		s.Saw = fmt.Sprintf("still there after %.1f s", seconds)
	}
	s.OK = s.OK && gone && took >= timeWaitLength
	if l.fast {
		s.Did = fmt.Sprintf("watched a TIME-WAIT for %.0f s only (--fast), with tcp_fin_timeout=1", fastWatch.Seconds())
		s.Expected = "still there"
		s.OK = !gone
	}
	l.step(s)
	return nil
}
