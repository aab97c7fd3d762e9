package main

import (
	"context"
	"slices"

	"gotimeout/internal/badnet/private"
	"gotimeout/internal/timewait"
)

type timewaitCmd struct {
	Only []string `enum:"who,how-long,churn,ports,restart,linger,myth" placeholder:"NAME" help:"Make these experiments alone (${enum})."`
	Fast bool     `help:"Watch a TIME-WAIT for seconds instead of its minute, and make fewer requests."`
	JSON bool     `help:"Print each step as a JSON object on a line of its own."`
}

// Help is what the help says beyond the flags. kong calls it.
func (timewaitCmd) Help() string {
	return `It makes connections on a private loopback, without root, asks the kernel what
became of them, and prints step by step what it did and saw, and why it is so. A
step that came out other than expected says so.

  gotimeout timewait --fast
  gotimeout timewait --only who,restart

--json prints experiment, did, expected, saw, ok, why and command, which is one
that shows the same on any machine or "", and what the step counted, where null
is what it didn't: requests, opened (connections), ideal (connections, if each
were used again), client_time_wait and server_time_wait (ends in TIME-WAIT),
resets (RSTs sent), reused (TIME-WAITs taken for a new connection), ports (in the
range for clients), tcp_tw_reuse (the setting) and seconds.

The exit status is 0 where all is as expected, 1 where something is not, and 125
where there is no private network here.`
}

// Run makes the experiments. kong calls it.
func (c *timewaitCmd) Run(ctx context.Context, to streams) error {
	return inPrivate(ctx, to, private.Work{Inside: func(ctx context.Context, _ *private.Process) (int, error) {
		p := stepPrinter{to: to.out, json: c.JSON}
		err := c.experiments(ctx, &p)
		switch {
		case ctx.Err() != nil:
			return exitInterrupted, nil
		case err != nil:
			return 0, err
		}
		return 0, p.verdict()
	}})
}

func (c *timewaitCmd) experiments(ctx context.Context, p *stepPrinter) error {
	for _, e := range timewait.All() {
		if len(c.Only) > 0 && !slices.Contains(c.Only, e.Name) {
			continue
		}
		p.begin(e)
		if err := e.Run(ctx, c.Fast, p.step); err != nil {
			return err
		}
	}
	return nil
}
