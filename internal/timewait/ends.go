package timewait

import (
	"context"
	"time"

	"gotimeout/internal/sockets"
)

// ends are what the kernel has of a server's connections.
type ends struct{ client, server []sockets.Socket }

func look(port uint16) (e ends, err error) {
	err = sockets.Each(sockets.All&^sockets.In(sockets.Listen), func(s sockets.Socket) {
		switch port {
		case s.Remote.Port():
			e.client = append(e.client, s)
		case s.Local.Port():
			e.server = append(e.server, s)
		}
	})
	return e, err
}

func count(in []sockets.Socket, state sockets.State) (n int) {
	for _, s := range in {
		if s.State == state {
			n++
		}
	}
	return n
}

// settled waits until all connections of a port are gone or in TIME-WAIT, and
// returns what is left of them.
func settled(ctx context.Context, port uint16) (e ends, err error) {
	return e, until(ctx, patience, func() (bool, error) {
		e, err = look(port)
		return e.moving() == 0, err
	})
}

// pooled waits the same, but for those that a client keeps open: two looks must
// have seen no change.
func pooled(ctx context.Context, port uint16) (e ends, err error) {
	const between = 20 * time.Millisecond
	var before ends
	var since time.Time
	return e, until(ctx, patience, func() (bool, error) {
		if e, err = look(port); err != nil {
			return false, err
		}
		if since.IsZero() || e.summary() != before.summary() {
			before, since = e, time.Now()
		}
		idle := count(e.client, sockets.Established) + count(e.server, sockets.Established)
		return e.moving() == idle && time.Since(since) >= between, nil
	})
}

// moving is how many of the sockets will be in another state.
func (e ends) moving() int {
	return len(e.client) + len(e.server) - count(e.client, sockets.TimeWait) - count(e.server, sockets.TimeWait)
}

func (e ends) summary() [4]int {
	return [4]int{len(e.client), len(e.server), count(e.client, sockets.TimeWait), count(e.server, sockets.TimeWait)}
}
