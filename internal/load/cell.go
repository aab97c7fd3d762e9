package load

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"gotimeout/internal/receipt"
	"gotimeout/internal/results"
	"gotimeout/internal/wire"

	"golang.org/x/sync/errgroup"
)

// cellRun runs one cell.
type cellRun struct {
	*runner
	results.Cell
	start  time.Time // the first request that counts was due
	answer time.Time // the last request had its answer
	listed time.Time // the lab's sockets were listed last

	mu     sync.Mutex        // guards Record, because samples and answers are recorded at once
	phases map[string]string // the phase of each request, by receipt
	first  string            // the last receipt before the cell
	end    results.End
}

// run runs the cell. It fails where the lab is gone, or a record can't be written.
func (c *cellRun) run(ctx context.Context) error {
	c.end = results.End{Type: results.TypeEnd, Cell: c.Cell.Cell}
	c.phases = map[string]string{}
	if err := c.Record(&c.Cell); err != nil {
		return err
	}
	err := c.steps(ctx)
	if err != nil {
		c.end.Error = err.Error()
	}
	c.end.Interrupted = ctx.Err() != nil
	if recorded := c.record(&c.end); err == nil {
		err = recorded
	}
	return err
}

// steps runs the steps of a cell in their order. An interrupt cuts the load short and skips
// the probe. The cell still waits for the work that goes on, and records it.
func (c *cellRun) steps(ctx context.Context) error {
	whole := context.WithoutCancel(ctx)
	c.start = time.Now().Add(c.Plan.warmUp()) // an estimate, until the load begins
	if err := c.before(whole); err != nil {
		return err
	}
	if err := c.load(ctx); err != nil {
		return err
	}
	if err := c.drain(whole); err != nil {
		return err
	}
	if ctx.Err() == nil {
		if err := c.probe(ctx); err != nil {
			return err
		}
	}
	if err := c.receipts(whole); err != nil {
		return err
	}
	return c.after(whole)
}

// before samples the lab as it is before the load.
func (c *cellRun) before(ctx context.Context) error {
	now, err := c.sample(ctx, results.Before)
	c.first = now.LastReceipt
	return err
}

// load sends the requests, and samples the lab meanwhile.
func (c *cellRun) load(ctx context.Context) error {
	interval := c.Plan.Interval()
	l := &sender{
		lab: c.Lab, delays: c.Delays, interval: interval,
		warmUp:   int(c.Plan.warmUp() / interval),
		requests: int(c.Plan.Duration / interval),
		longest:  c.patience(),
	}
	strategy := c.Strategy
	if c.Floor {
		strategy = results.SampleName()
	}
	for _, delay := range c.Delays {
		l.paths = append(l.paths, pathOf(strategy, c.Cell, delay))
	}
	var samples errgroup.Group
	sampling, stop := context.WithCancel(context.WithoutCancel(ctx))
	sending, give := context.WithCancel(ctx)
	defer give()
	began := func(start time.Time) {
		c.start = start
		samples.Go(func() error {
			err := c.sampleUntil(sampling, results.Load)
			if err != nil {
				give() // the lab is gone
			}
			return err
		})
	}
	err := l.run(sending, began, c.request)
	stop()
	err = cmp.Or(err, samples.Wait())
	if c.answer.IsZero() || err != nil { // the load was interrupted before the first answer
		return err
	}
	c.end.Answered = ms(c.answer.Sub(c.start))
	wait(context.WithoutCancel(ctx), connectionsClose)
	_, err = c.sample(context.WithoutCancel(ctx), results.Answered)
	return err
}

// patience is how long an answer may take. An older lab doesn't report it.
func (c *cellRun) patience() time.Duration {
	if d, err := time.ParseDuration(c.facts.Caps.Patience); err == nil {
		return d
	}
	return 2 * time.Minute
}

const (
	// connectionsClose is how long the lab takes to notice that the load has closed its
	// connections. The goroutines of these connections are not left behind by a strategy.
	connectionsClose = 20 * time.Millisecond
	// sampleEvery is how often the lab is sampled.
	sampleEvery = 100 * time.Millisecond
)

// request records a request with its answer.
func (c *cellRun) request(r results.Request) error {
	r.Cell = c.Cell.Cell
	if r.Receipt != "" {
		c.phases[r.Receipt] = r.Phase
	}
	switch r.Phase {
	case results.WarmUp:
		return nil
	case results.Load:
		at := c.start.Add(span(r.At + r.Answered))
		if at.After(c.answer) {
			c.answer = at
		}
	}
	return c.record(&r)
}

// drain waits until all work has ended, at most as long as work can go on.
func (c *cellRun) drain(ctx context.Context) error {
	bound := time.Now().Add(max(10*time.Second, 2*span(c.Timeout+slices.Max(c.Delays))+6*time.Second))
	for {
		now, err := c.sample(ctx, results.Drain)
		if err != nil {
			return err
		}
		if now.InFlight+now.Abandoned == 0 || time.Now().After(bound) {
			break
		}
		wait(ctx, sampleEvery)
	}
	_, err := c.sample(ctx, results.Drained)
	return err
}

// probe makes clean calls on the same pools, half of them at once and then the other half,
// to find out whether the service still works.
func (c *cellRun) probe(ctx context.Context) error {
	patience := 10 * time.Second
	if c.RoundTrip != nil {
		patience += 4 * span(*c.RoundTrip)
	}
	for range 2 {
		var start time.Time
		l := &sender{
			lab: c.Lab, delays: []float64{0}, paths: []string{pathOf(results.SampleName(), c.Cell, 0)},
			requests: probes / 2, workers: probes / 2, longest: patience,
		}
		err := l.run(ctx, func(at time.Time) { start = at }, func(r results.Request) error {
			r.Phase = results.Probe
			r.At += ms(start.Sub(c.start))
			return c.request(r)
		})
		if err != nil {
			return err
		}
	}
	_, err := c.sample(context.WithoutCancel(ctx), results.Probe)
	return err
}

// after waits until the idle connections are closed, and samples the lab again.
func (c *cellRun) after(ctx context.Context) error {
	if err := c.settle(ctx, c.Op); err != nil {
		return err
	}
	_, err := c.sample(ctx, results.After)
	return err
}

func (c *cellRun) record(record any) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.Record(record); err != nil {
		return fmt.Errorf("the results can't be written: %w", err)
	}
	return nil
}

// wait waits for d, or until ctx is done.
func wait(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// sampleUntil samples until ctx is done.
func (c *cellRun) sampleUntil(ctx context.Context, phase string) error {
	for {
		_, err := c.sample(context.WithoutCancel(ctx), phase)
		if err != nil {
			return err
		}
		wait(ctx, sampleEvery)
		if ctx.Err() != nil {
			return nil
		}
	}
}

// listEvery is how often the lab's sockets are listed during a cell: a listing costs
// the lab's kernel milliseconds, which would count as time of the requests.
const listEvery = 500 * time.Millisecond

// sample records the state of the lab.
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

// receipts records the receipts of the cell's requests, which have the end of the last
// work.
func (c *cellRun) receipts(ctx context.Context) error {
	if c.answer.IsZero() {
		return nil
	}
	found, answered, ended := 0, 0.0, 0.0 // by the lab's clock
	err := c.Lab.receiptsAfter(ctx, c.first, func(r *receipt.View) error {
		phase, ours := c.phases[r.ID]
		if !ours {
			if _, ours = c.phases[r.Job]; !ours {
				c.end.Others++
			}
			return nil
		}
		found++
		of := c.recordOf(r, phase)
		if phase != results.Probe {
			answered = max(answered, of.Started+of.Answered)
			for _, at := range []*float64{&of.Answered, of.Ended, of.BackendEnded} {
				if at != nil {
					ended = max(ended, of.Started+*at)
				}
			}
			if !r.Complete {
				c.end.Open++
			}
		}
		return c.record(of)
	})
	c.end.Missing = len(c.phases) - found
	c.end.Drained = c.end.Answered + ended - answered
	return err
}

func (c *cellRun) recordOf(r *receipt.View, phase string) *results.Receipt {
	delay, _ := time.ParseDuration(r.Delay)
	started, _ := time.Parse(time.RFC3339Nano, r.Started)
	of := &results.Receipt{
		Type: results.TypeReceipt, Cell: c.Cell.Cell, Phase: phase, ID: r.ID, Complete: r.Complete,
		Delay: ms(delay), Started: ms(started.Sub(c.start)),
		Overshoot: r.Overshoot, Ended: r.Ended, Straggle: r.Straggle, BackendEnded: r.BackendEnded, Waste: r.Waste,
		Goroutines: r.Goroutines,
		Dialed:     r.Connections.Dialed, Reused: r.Connections.Reused, Kept: r.Connections.Kept,
		Closed: r.Connections.Closed, RST: r.Connections.RST,
	}
	if r.Status != nil && r.Answered != nil {
		of.Status, of.Answered = string(*r.Status), *r.Answered
	}
	return of
}
