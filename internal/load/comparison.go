// Package load measures the cost of each strategy. For each cell of a matrix of
// strategies, ops and networks it sends a lab an open-loop load, waits until the last work
// has ended, probes whether the service still works, and records all of it. Recommend
// chooses the timeouts of such a matrix from the times that calls take without a timeout.
//
// It knows a lab only by its URL, so it measures the same handlers that everyone
// uses; it has no strategy and no op of its own. Before the first request it
// refuses a matrix that the lab can't run, and a lab on which other runs go on.
// Package results makes the figures from the records.
package load

import (
	"context"
	"fmt"
	"slices"
	"time"

	"gotimeout/internal/badnet"
	"gotimeout/internal/machine"
	"gotimeout/internal/results"
	"gotimeout/internal/wire"
)

// Comparison is a plan on a lab.
type Comparison struct {
	Lab     *Lab
	Own     bool   // the comparison alone uses the lab, which ends with it
	Command string // the command line, for the record
	Plan    Plan

	Record func(any) error // takes each record
	Show   func(Progress)  // gets the progress; may be nil
}

// Progress is the progress of a comparison: the cell that runs, and how long the rest may
// take.
type Progress struct {
	Cell  results.Cell
	Of    int    // cells in all
	Phase string // of the cell
	Left  time.Duration
}

// runner is a comparison while it runs.
type runner struct {
	*Comparison
	facts   wire.Lab
	began   time.Time
	takes   time.Duration // the estimate for the whole comparison
	last    time.Time     // when a cell ended
	done    int           // how many cells have ended
	of      int
	set     string             // the profile that the comparison set last
	found   string             // the profile that the lab had before
	network *badnet.State      // the lab's network as it is now
	nominal map[string]float64 // the time of a call alone
}

// Run runs the plan. When ctx is done, Run ends the cell that runs, records the
// requests until then and returns nil, as after the last cell. It fails where the
// lab can't run the plan, or is gone.
func (c *Comparison) Run(ctx context.Context) error {
	r, err := c.begin(ctx)
	if err != nil {
		return err
	}
	defer r.restore(ctx)
	cells := slices.DeleteFunc(c.Plan.cells(), func(c results.Cell) bool { return c.Floor && r.own(c.Op) != nil }) // the expected time of an own call is unknown
	r.of = len(cells) * c.Plan.Repeat
	for repeat := range c.Plan.Repeat {
		if err := r.cells(ctx, cells, repeat+1); err != nil {
			return err
		}
	}
	return r.end(ctx)
}

// begin checks the plan and records it.
func (c *Comparison) begin(ctx context.Context) (*runner, error) {
	r := &runner{Comparison: c, began: time.Now(), takes: c.Plan.Takes(), nominal: map[string]float64{}}
	if err := r.check(ctx); err != nil {
		return nil, err
	}
	return r, r.introduce(ctx)
}

// cells runs one cell after another, until ctx is done.
func (r *runner) cells(ctx context.Context, cells []results.Cell, repeat int) error {
	for _, cell := range cells {
		if ctx.Err() != nil {
			break
		}
		cell.Cell, cell.Repeat = r.done+1, repeat
		if err := r.cell(ctx, cell); err != nil {
			return err
		}
		r.done++
		r.last = time.Now()
	}
	return nil
}

// restore gives a lab that others will use the network that it had before. A failure is
// not reported, because the comparison is over.
func (r *runner) restore(ctx context.Context) {
	if r.set != "" && !r.Own {
		_, _ = r.Lab.network(context.WithoutCancel(ctx), r.found)
	}
}

func (r *runner) end(ctx context.Context) error {
	return r.Record(&results.Done{Type: results.TypeDone, Interrupted: ctx.Err() != nil})
}

// introduce records the plan, and the machines of the lab and of the load.
func (r *runner) introduce(ctx context.Context) error {
	sockets, err := r.Lab.sockets(ctx)
	if err != nil {
		return err
	}
	run := results.Run{
		Type: results.TypeRun, Format: results.Format, Started: r.began.UTC().Round(time.Millisecond),
		Command: r.Command, URL: r.Lab.URL,
		Rate: r.Plan.Rate, Duration: ms(r.Plan.Duration), WarmUp: ms(r.Plan.warmUp()),
		Repeat: r.Plan.Repeat, Probes: probes,
		Machine: machine.This(), Lab: r.facts.Machine,
	}
	if r.Own {
		run.URL = ""
	}
	run.Strategies = strategiesOf(r.facts)
	for _, op := range r.facts.Ops {
		of := results.Op{Name: op.Name, Backend: op.Backend, Calls: op.Calls}
		if op.Own != nil {
			of.Own, of.Alone = op.Own.Name, op.Own.Alone
		}
		run.Ops = append(run.Ops, of)
	}
	if sockets != nil {
		run.TCP = sockets.Settings
	}
	return r.Record(&run)
}

// cell runs one cell and records it.
func (r *runner) cell(ctx context.Context, c results.Cell) error {
	if err := r.setNetwork(ctx, &c); err != nil {
		return r.stopped(ctx, fmt.Errorf("network %s: %w", c.Network, err))
	}
	var err error
	if c.Nominal, err = r.aloneTimes(ctx, c); err != nil {
		return r.stopped(ctx, err)
	}
	c.Started = time.Now().UTC().Round(time.Millisecond)
	return (&cellRun{runner: r, Cell: c}).run(ctx)
}

// stopped returns err, or nil after an interrupt, which may have caused err.
func (r *runner) stopped(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// setNetwork gives the lab the cell's network, and notes the driver and the round
// trip in the cell. The floor is measured without a network where the lab can
// change it.
func (r *runner) setNetwork(ctx context.Context, c *results.Cell) (err error) {
	wanted := c.Network
	if c.Floor && r.facts.Network && len(r.Plan.Networks) > 0 {
		wanted = "none"
	}
	if wanted != "" && wanted != r.set {
		r.show(*c, "network")
		if r.network, err = r.Lab.network(ctx, wanted); err != nil {
			return err
		}
		r.set = wanted
	}
	if c.Network == "" {
		c.Network = r.network.Profile
	}
	c.Driver = r.network.Driver
	if calibrated := r.network.Calibration; calibrated != nil {
		c.RoundTrip = calibrated.RoundTripP50
	}
	return nil
}

// pathOf is the path and query of a run of the cell.
func pathOf(strategy string, c results.Cell, delay float64) string {
	return fmt.Sprintf("/%s?op=%s&ctx=%s&delay=%s&timeout=%s", strategy, c.Op, c.Ctx, span(delay), span(c.Timeout))
}

func (r *runner) show(c results.Cell, phase string) {
	if r.Show == nil {
		return
	}
	left := r.takes - time.Since(r.began)
	if r.done > 0 { // estimates from the cells so far
		one := r.last.Sub(r.began) / time.Duration(r.done)
		left = one*time.Duration(r.of-r.done) - time.Since(r.last)
	}
	r.Show(Progress{Cell: c, Of: r.of, Phase: phase, Left: max(0, left)})
}

// own returns the own call that an op makes, or nil.
func (r *runner) own(op string) *wire.OwnCall {
	i := slices.IndexFunc(r.facts.Ops, func(of wire.Op) bool { return of.Name == op })
	if i < 0 {
		return nil
	}
	return r.facts.Ops[i].Own
}

// aloneCalls is how many calls measure the time of a call alone. Another call before them
// opens the connection.
const aloneCalls = 5

// aloneTimes returns the time of a call of each delay while nothing else goes on: a median,
// in milliseconds. A call whose delay is not under the timeout is not made, and its delay
// stands for its time. The lab has measured an own call itself; as own calls vary, no time
// tells which of them would have completed in time.
func (r *runner) aloneTimes(ctx context.Context, c results.Cell) ([]float64, error) {
	if c.Floor || r.own(c.Op) != nil {
		return nil, nil
	}
	r.show(c, "alone")
	nominal := make([]float64, len(c.Delays))
	for i, delay := range c.Delays {
		key := fmt.Sprint(c.Op, " ", c.Ctx, " ", c.Network, " ", delay)
		if _, known := r.nominal[key]; !known {
			took, err := r.aloneTime(ctx, c, delay)
			if err != nil {
				return nil, err
			}
			r.nominal[key] = took
			if err := r.settle(ctx, c.Op); err != nil {
				return nil, err
			}
		}
		nominal[i] = r.nominal[key]
	}
	return nominal, nil
}

// aloneTime makes the calls of one delay. If a call doesn't complete, the time of the wait
// for it stands for all of them.
func (r *runner) aloneTime(ctx context.Context, c results.Cell, delay float64) (float64, error) {
	if delay >= c.Timeout {
		return delay, nil
	}
	patience := span(2*c.Timeout) + time.Second
	var took []float64
	for range aloneCalls + 1 {
		within, cancel := context.WithTimeout(ctx, patience)
		start := time.Now()
		err := r.Lab.run(within, pathOf(results.SampleName(), c, delay))
		cancel()
		switch {
		case ctx.Err() != nil:
			return 0, ctx.Err()
		case err != nil:
			return ms(patience), nil
		}
		took = append(took, ms(time.Since(start)))
	}
	took = took[1:]
	slices.Sort(took)
	return took[len(took)/2], nil
}
