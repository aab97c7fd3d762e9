package load

import (
	"context"
	"time"

	"gotimeout/internal/results"
	"gotimeout/internal/wire"
)

// sampleUntil samples until ctx is done.
func (c *cellRun) sampleUntil(ctx context.Context, phase string) error {
	for {
		_, err := c.sample(context.WithoutCancel(ctx), phase)
		if err != nil {
			return err
		}
		wait(ctx, every)
		if ctx.Err() != nil {
			return nil
		}
	}
}

// listEvery is how often the lab's sockets are listed during a cell: a look at
// them costs its kernel milliseconds, which would count as those of requests.
const listEvery = 500 * time.Millisecond

// sample records how the lab is now.
func (c *cellRun) sample(ctx context.Context, phase string) (wire.Now, error) {
	c.show(c.Cell, phase)
	at := time.Now()
	facts, err := c.Lab.Facts(ctx)
	if err != nil {
		return wire.Now{}, err
	}
	var sockets *wire.Sockets
	if during := phase == results.Load || phase == results.Drain; !during || at.Sub(c.listed) >= listEvery {
		c.listed = at
		if sockets, err = c.Lab.sockets(ctx); err != nil {
			return wire.Now{}, err
		}
	}
	now := facts.Now
	s := results.Sample{
		Type: results.TypeSample, Cell: c.Cell.Cell, Phase: phase, At: ms(at.Sub(c.start)),
		Goroutines: now.Goroutines, InFlight: now.InFlight, Abandoned: now.Abandoned,
		CPU: now.CPU, Allocated: now.Allocated,
	}
	if sockets != nil {
		s.Connections, s.TimeWait = new(int), new(int)
		for _, backend := range sockets.Backends {
			*s.Connections += backend.Client["ESTABLISHED"]
			*s.TimeWait += backend.Client["TIME-WAIT"] + backend.Server["TIME-WAIT"]
		}
	}
	return now, c.record(&s)
}
