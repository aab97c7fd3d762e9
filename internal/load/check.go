package load

import (
	"context"
	"fmt"
	"slices"
	"time"

	"gotimeout/internal/results"
)

// firstAnswer is how long an op may take before it is taken for one that doesn't
// work.
const firstAnswer = 20 * time.Second

// check tells why the plan can't be run.
func (r *runner) check(ctx context.Context) (err error) {
	if r.facts, err = r.Lab.Facts(ctx); err != nil {
		return err
	}
	if err := r.Plan.check(r.facts); err != nil {
		return err
	}
	if now := r.facts.Now; now.InFlight+now.Abandoned > 0 {
		return fmt.Errorf("the lab has %d runs in flight and %d of which something goes on: compare needs it for itself, wait until they have ended",
			now.InFlight, now.Abandoned)
	}
	for _, op := range r.Plan.Ops { // a backend that is down would make a table of failures
		c := results.Cell{Op: op, Ctx: r.Plan.Ctxs[0], Timeout: ms(r.Plan.Timeouts[0])}
		within, cancel := context.WithTimeout(ctx, firstAnswer)
		err := r.Lab.run(within, pathOf("baseline", c, 0))
		cancel()
		if err != nil {
			return fmt.Errorf("op %s doesn't work on this lab: %w", op, err)
		}
	}
	if err := r.settle(ctx, r.Plan.Ops...); err != nil {
		return err
	}
	r.network, err = r.Lab.network(ctx, "")
	r.found = r.network.Profile
	return err
}

// settle waits until idle connections are closed: until the lab has no more
// goroutines than it began with, and one or two for those who ask it. It waits no
// longer than the clients of the ops keep an idle connection.
func (r *runner) settle(ctx context.Context, ops ...string) error {
	longest := time.Duration(0)
	for _, op := range r.facts.Ops {
		if slices.Contains(ops, op.Name) {
			longest = max(longest, span(op.Settle))
		}
	}
	for end := time.Now().Add(longest); time.Now().Before(end) && ctx.Err() == nil; wait(ctx, every) {
		f, err := r.Lab.Facts(ctx)
		if err != nil {
			return r.stopped(ctx, err)
		}
		if f.Now.Goroutines <= r.facts.Now.Goroutines+2 {
			break
		}
	}
	return nil
}
