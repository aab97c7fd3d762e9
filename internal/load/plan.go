package load

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"gotimeout/internal/prose"
	"gotimeout/internal/results"
	"gotimeout/internal/wire"
	"gotimeout/strategies"
)

// Plan is the plan of a comparison.
type Plan struct {
	Strategies []string
	Only       wire.Only // the ops of strategies that don't suit all; a cell of another op is left out
	Ops        []string
	Ctxs       []string
	Networks   []string        // the profiles; an empty list is the lab's network as it is
	Timeouts   []time.Duration // each timeout has cells of its own
	Delays     []time.Duration // the delays that the requests take in turn
	Rate       float64         // requests a second
	WarmUp     time.Duration   // the time before the load, with the same requests; 0 is half a second
	Duration   time.Duration   // the length of a cell's load
	Repeat     int
}

// Interval is the time between two requests.
func (p Plan) Interval() time.Duration { return time.Duration(float64(time.Second) / p.Rate) }

func (p Plan) warmUp() time.Duration { return cmp.Or(p.WarmUp, 500*time.Millisecond) }

// A cell has clean calls and a wait beside its load.
const (
	probes  = 40
	settled = 1100 * time.Millisecond // until idle connections are closed
)

// cells returns the cells of a repeat in their order: the floors first.
func (p Plan) cells() []results.Cell { return append(p.floors(), p.matrix()...) }

func (p Plan) floors() (all []results.Cell) {
	inTime := min(slices.Min(p.Timeouts), slices.Max(p.Delays))
	for _, op := range p.Ops {
		all = append(all, p.cell(results.Cell{
			Strategy: results.FloorName, Op: op, Ctx: "aware", Floor: true,
			Timeout: ms(slices.Max(p.Timeouts)), Delays: []float64{ms(inTime)},
		}))
	}
	return all
}

// matrix has the cells other than the floors. The cells of a network come
// together, since a change of the network takes a while.
func (p Plan) matrix() (all []results.Cell) {
	for _, network := range p.networks() {
		for _, op := range p.Ops {
			for _, ctx := range p.Ctxs {
				for _, timeout := range p.Timeouts {
					for _, strategy := range p.Strategies {
						if !p.Only.Suits(strategy, op) {
							continue
						}
						all = append(all, p.cell(results.Cell{
							Strategy: strategy, Op: op, Ctx: ctx, Network: network, Timeout: ms(timeout),
						}))
					}
				}
			}
		}
	}
	return all
}

// networks has the profiles; "" is the lab's network as it is.
func (p Plan) networks() []string {
	if len(p.Networks) == 0 {
		return []string{""}
	}
	return p.Networks
}

// cell adds what all cells have in common.
func (p Plan) cell(c results.Cell) results.Cell {
	c.Type = results.TypeCell
	if c.Delays == nil {
		for _, d := range p.Delays {
			c.Delays = append(c.Delays, ms(d))
		}
	}
	return c
}

// Takes estimates how long the plan takes.
func (p Plan) Takes() time.Duration {
	return p.take(len(p.cells()))
}

// take estimates how long so many cells take.
func (p Plan) take(cells int) time.Duration {
	one := p.Duration + p.warmUp() + settled + slices.Max(p.Delays) + 200*time.Millisecond
	return time.Duration(p.Repeat) * (time.Duration(cells)*one + time.Duration(len(p.Networks))*time.Second)
}

// requests is the number of requests of a cell, with its warm-up.
func (p Plan) requests() int {
	return int((p.Duration+p.warmUp()).Seconds()*p.Rate) + probes
}

// Receipts is how many receipts a lab must keep for the plan: as many as a cell makes. The worker of a
// queue makes a second one for each request.
func (p Plan) Receipts() int { return 2*p.requests() + 10 }

// check returns an error if the lab can't run the plan.
func (p Plan) check(f wire.Lab) error {
	if f.Public {
		return errors.New("the lab is public and gives each client only a share of its runs: start it with --no-public, or leave --url out")
	}
	var ops []string
	for _, op := range f.Ops {
		ops = append(ops, op.Name)
		if slices.Contains(p.Ops, op.Name) && op.NoDelay != "" && slices.Max(p.Delays) > 0 {
			return fmt.Errorf("op %s can't be slow on this lab: %s; leave it out with --ops, or use --delay 0", op.Name, op.NoDelay)
		}
	}
	for _, list := range []struct {
		what          string
		asked, allows []string
	}{{"strategy", p.Strategies, f.Strategies}, {"op", p.Ops, ops}, {"ctx", p.Ctxs, wire.Ctxs()}} {
		if len(list.asked) == 0 {
			return fmt.Errorf("there is no %s to compare: use %s", list.what, strings.Join(list.allows, ", "))
		}
		for i, name := range list.asked {
			if slices.Contains(list.asked[:i], name) {
				return fmt.Errorf("the %s %s is given twice: give it once, and --repeat for more", list.what, name)
			}
			if !slices.Contains(list.allows, name) {
				return errors.New(prose.Unknown(list.what, name, list.allows))
			}
		}
	}
	if err := p.checkOnly(); err != nil {
		return err
	}
	for i, network := range p.Networks {
		if slices.Contains(p.Networks[:i], network) {
			return fmt.Errorf("the network %s is given twice: give it once, and --repeat for more", network)
		}
	}
	if len(p.Networks) > 0 && !f.Network {
		return fmt.Errorf("this lab has no network that can be changed: start it with --network none, or leave --network out")
	}
	needs := p.requests() + 10
	if slices.ContainsFunc(p.Strategies, func(name string) bool { return queued(f, name) }) {
		needs = p.Receipts()
	}
	if needs > f.Caps.Receipts {
		return fmt.Errorf("a cell needs %d receipts, and this lab keeps %d: start it with --receipts %d, or lower --rate or --duration", needs, f.Caps.Receipts, needs)
	}
	if f.Caps.MaxInFlight < probes/2 {
		return fmt.Errorf("this lab allows %d runs in flight, and the probe makes %d at once: start it with --max-in-flight %d or more", f.Caps.MaxInFlight, probes/2, probes/2)
	}
	return p.checkCaps(f.Caps)
}

// checkOnly returns an error for a strategy that suits none of the ops.
func (p Plan) checkOnly() error {
	for _, name := range p.Strategies {
		if !slices.ContainsFunc(p.Ops, func(op string) bool { return p.Only.Suits(name, op) }) {
			return fmt.Errorf("the strategy %s makes no sense for op %s: use --ops %s, or leave it out", name, prose.Or(p.Ops), strings.Join(p.Only[name], ","))
		}
	}
	return nil
}

// PlanError is the error of a plan that the lab can't run: the caller's flags are wrong.
type PlanError struct{ error }

func (e *PlanError) Unwrap() error { return e.error }

func (p Plan) checkCaps(caps wire.Caps) error {
	for _, bound := range []struct {
		flag  string
		asked time.Duration
		cap   string
	}{{"--delay", slices.Max(p.Delays), caps.MaxDelay}, {"--timeout", slices.Max(p.Timeouts), caps.MaxTimeout}} {
		if limit, err := time.ParseDuration(bound.cap); err == nil && bound.asked > limit {
			return fmt.Errorf("%s %s is over this lab's cap: use at most %s", bound.flag, bound.asked, limit)
		}
	}
	return nil
}

// ms converts d to milliseconds, to the microsecond.
func ms(d time.Duration) float64 {
	return float64(d.Round(time.Microsecond)) / float64(time.Millisecond)
}

// span converts milliseconds to a Duration.
func span(ms float64) time.Duration { return time.Duration(ms * float64(time.Millisecond)) }

// firstAnswer is how long the first call of an op may take. After that, the op
// counts as broken.
const firstAnswer = 20 * time.Second

// check returns an error if the comparison can't be run.
func (r *runner) check(ctx context.Context) (err error) {
	if r.facts, err = r.Lab.Facts(ctx); err != nil {
		return err
	}
	if err := r.Plan.check(r.facts); err != nil {
		return &PlanError{err}
	}
	if now := r.facts.Now; now.InFlight+now.Abandoned > 0 {
		return fmt.Errorf("the lab has %d runs in flight and %d of which something goes on, and a comparison must be alone on the lab: wait until they have ended",
			now.InFlight, now.Abandoned)
	}
	for _, op := range r.Plan.Ops { // with a backend that is down, the table would have only failures
		c := results.Cell{Op: op, Ctx: r.Plan.Ctxs[0], Timeout: ms(r.Plan.Timeouts[0])}
		if longest, err := time.ParseDuration(r.facts.Caps.MaxTimeout); err == nil {
			c.Timeout = ms(longest) // what a first run starts may take longer than a timeout of the plan
		}
		for _, strategy := range append(r.starters(op), results.SampleName()) {
			within, cancel := context.WithTimeout(ctx, firstAnswer)
			err := r.Lab.run(within, pathOf(strategy, c, 0))
			cancel()
			if err != nil {
				return fmt.Errorf("op %s doesn't work on this lab: %w", op, err)
			}
		}
	}
	if err := r.settle(ctx, r.Plan.Ops...); err != nil {
		return err
	}
	if r.facts, err = r.Lab.Facts(ctx); err != nil {
		return err
	}
	r.network, err = r.Lab.network(ctx, "")
	r.found = r.network.Profile
	return err
}

// queued reports whether a strategy gives its runs to a queue.
func queued(f wire.Lab, strategy string) bool {
	return f.Families[strategy] == string(strategies.OutOfRequest)
}

// starters returns the strategies of the plan whose first run starts what stays, as the queue's
// server: it is no leak of theirs.
func (r *runner) starters(op string) (all []string) {
	for _, name := range r.Plan.Strategies {
		if queued(r.facts, name) && r.facts.Only.Suits(name, op) {
			all = append(all, name)
		}
	}
	return all
}

// settle waits until the idle connections are closed: until the lab has as many goroutines
// as before, and two for compare's own requests. It waits no longer than the clients of
// the ops keep an idle connection.
func (r *runner) settle(ctx context.Context, ops ...string) error {
	longest := time.Duration(0)
	for _, op := range r.facts.Ops {
		if slices.Contains(ops, op.Name) {
			longest = max(longest, span(op.Settle))
		}
	}
	for end := time.Now().Add(longest); time.Now().Before(end) && ctx.Err() == nil; wait(ctx, sampleEvery) {
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
