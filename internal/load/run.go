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
	Own     bool   // nobody else uses the lab, and it ends with the comparison
	Command string // the command line, for the record
	Plan    Plan

	Record func(any) error // takes each record
	Show   func(Progress)  // is told where it stands, if it is set
}

// Progress is where a comparison stands.
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
	takes   time.Duration // all of it, as it is estimated
	last    time.Time     // when a cell ended
	done    int           // cells
	of      int
	set     string             // the network that was asked for last
	found   string             // the profile that it had
	network *badnet.State      // as it stands
	nominal map[string]float64 // of a call alone
}

// Run runs the plan. When ctx is done, the cell that runs is ended and recorded
// with what there is; then Run returns nil like after the last one. Its errors
// are of a plan that the lab can't run, or of a lab that is gone.
func (c *Comparison) Run(ctx context.Context) error {
	r, err := c.begin(ctx)
	if err != nil {
		return err
	}
	defer r.restore(ctx)
	cells := c.Plan.cells()
	r.of = len(cells) * c.Plan.Repeat
	for repeat := range c.Plan.Repeat {
		if err := r.cells(ctx, cells, repeat+1); err != nil {
			return err
		}
	}
	return r.end(ctx)
}

// begin checks the plan, and records what is run.
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

// restore gives a lab that others will use the network that it had. It has told
// of changes that failed: there is nobody to tell now.
func (r *runner) restore(ctx context.Context) {
	if r.set != "" && !r.Own {
		_, _ = r.Lab.network(context.WithoutCancel(ctx), r.found)
	}
}

func (r *runner) end(ctx context.Context) error {
	return r.Record(&results.Done{Type: results.TypeDone, Interrupted: ctx.Err() != nil})
}

// introduce records what is run, and where.
func (r *runner) introduce(ctx context.Context) error {
	sockets, err := r.Lab.sockets(ctx)
	if err != nil {
		return err
	}
	run := results.Run{
		Type: results.TypeRun, Format: results.Format, Started: r.began.UTC().Round(time.Millisecond),
		Command: r.Command, URL: r.Lab.URL,
		Rate: float64(r.Plan.Rate), Duration: ms(r.Plan.Duration), WarmUp: ms(r.Plan.warmUp()),
		Repeat: r.Plan.Repeat, Probes: probes,
		Machine: machine.This(), Lab: r.facts.Machine,
	}
	if r.Own {
		run.URL = ""
	}
	for _, name := range r.facts.Strategies {
		run.Strategies = append(run.Strategies, results.Strategy{
			Name: name, Family: r.facts.Families[name], Unbounded: slices.Contains(r.facts.Unbounded, name),
		})
	}
	for _, op := range r.facts.Ops {
		run.Ops = append(run.Ops, results.Op{Name: op.Name, Backend: op.Backend, Calls: op.Calls})
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
	if c.Nominal, err = r.alone(ctx, c); err != nil {
		return r.stopped(ctx, err)
	}
	c.Started = time.Now().UTC().Round(time.Millisecond)
	return (&cellRun{runner: r, Cell: c}).run(ctx)
}

// stopped is err, unless it is only that the comparison is to end.
func (r *runner) stopped(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// setNetwork makes the network that of the cell, and notes what it is. The floor
// is measured without one where the lab can make it good.
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

// pathOf is the path of a run of the cell.
func pathOf(strategy string, c results.Cell, delay float64) string {
	return fmt.Sprintf("/%s?op=%s&ctx=%s&delay=%s&timeout=%s", strategy, c.Op, c.Ctx, span(delay), span(c.Timeout))
}

func (r *runner) show(c results.Cell, phase string) {
	if r.Show == nil {
		return
	}
	left := r.takes - time.Since(r.began)
	if r.done > 0 { // by now it is known how long a cell takes
		one := r.last.Sub(r.began) / time.Duration(r.done)
		left = one*time.Duration(r.of-r.done) - time.Since(r.last)
	}
	r.Show(Progress{Cell: c, Of: r.of, Phase: phase, Left: max(0, left)})
}
