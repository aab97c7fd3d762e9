package load

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	"gotimeout/internal/receipt"
	"gotimeout/internal/results"
	"gotimeout/internal/wire"
	"gotimeout/slowops"

	"golang.org/x/sync/errgroup"
)

// A cell of an atlas is a call that takes three times its timeout. Calls that wait run
// beside each other, and have the longer times, so that a backend over a slow network
// gets a request well before the timeout. Calls that compute run one after another.
const (
	waitDelay, waitTimeout       = 1500 * time.Millisecond, 500 * time.Millisecond
	computeDelay, computeTimeout = 300 * time.Millisecond, 100 * time.Millisecond
)

// atOnce is how many calls of an op wait at once. The pools of the lab's clients are not
// smaller, so no call waits for the connection of another.
const atOnce = 8

// Atlas runs each strategy with each client, aware and deaf, on each network of the plan,
// and returns the receipts. When ctx is done, it returns those until then. It fails as Run
// does.
func (c *Comparison) Atlas(ctx context.Context) (*results.Atlas, error) {
	s := &survey{runner: &runner{Comparison: c, began: time.Now()}}
	if err := s.prepare(ctx); err != nil {
		return nil, err
	}
	defer s.restore(ctx)
	for i, profile := range s.Plan.networks() {
		if ctx.Err() != nil {
			break
		}
		if err := s.on(ctx, profile, i == 0); err != nil {
			return nil, err
		}
	}
	s.atlas.Took = ms(time.Since(s.began))
	s.atlas.Interrupted = ctx.Err() != nil
	return s.atlas, nil
}

// survey is an atlas while it is made.
type survey struct {
	*runner
	atlas *results.Atlas

	mu sync.Mutex // guards the cells, and the number of those that are done
}

// prepare checks the plan, and lists the clients.
func (s *survey) prepare(ctx context.Context) error {
	facts, err := s.Lab.Facts(ctx)
	if err != nil {
		return err
	}
	s.atlas = &results.Atlas{
		Type: results.TypeAtlas, Format: results.Format, Started: s.began.UTC().Round(time.Millisecond),
		Command: s.Command, Repeat: s.Plan.Repeat, Lab: facts.Machine, Strategies: strategiesOf(facts),
		LeftOut: []results.LeftOut{},
	}
	if len(s.Plan.Strategies) == 0 {
		s.Plan.Strategies = facts.Strategies
	}
	s.atlas.Strategies = slices.DeleteFunc(s.atlas.Strategies, func(of results.Strategy) bool {
		return !slices.Contains(s.Plan.Strategies, of.Name)
	})
	asked := s.Plan.Ops
	s.Plan.Ops = nil
	for _, op := range facts.Ops {
		why := unfit(op)
		switch {
		case asked != nil && !slices.Contains(asked, op.Name):
		case asked == nil && why != "":
			s.atlas.LeftOut = append(s.atlas.LeftOut, results.LeftOut{Op: op.Name, Why: why})
		default:
			s.atlas.Clients = append(s.atlas.Clients, clientsOf(op)...)
			s.Plan.Ops = append(s.Plan.Ops, op.Name)
		}
	}
	if asked != nil {
		s.Plan.Ops = asked
	}
	s.Plan.Ctxs, s.Plan.Delays, s.Plan.Timeouts = wire.Ctxs(), []time.Duration{waitDelay}, []time.Duration{waitTimeout}
	for _, client := range s.atlas.Clients {
		networks := len(s.Plan.networks())
		if computes(client) {
			networks = 1
		}
		s.of += networks * len(s.Plan.Strategies) * len(s.Plan.Ctxs) * s.Plan.Repeat
	}
	if err := s.check(ctx); err != nil {
		return err
	}
	return s.standIns(ctx)
}

// unfit says why an op is left out of an atlas; "" is not.
func unfit(op wire.Op) string {
	switch {
	case op.Own != nil:
		return "it is your own call, which gotimeout compare puts under every strategy"
	case op.Calls > 1:
		return "it makes the calls of several others at once"
	}
	return op.NoDelay
}

// strategiesOf are the lab's strategies.
func strategiesOf(f wire.Lab) (all []results.Strategy) {
	for _, name := range f.Strategies {
		all = append(all, results.Strategy{Name: name, Family: f.Families[name], Unbounded: slices.Contains(f.Unbounded, name)})
	}
	return all
}

// clientsOf returns a client for the defaults of an op's choices, and one for each other
// value of a choice.
func clientsOf(op wire.Op) (all []results.Client) {
	of := results.Client{
		Op: op.Name, Backend: op.Backend, Settings: op.Settings,
		Delay: ms(waitDelay), Timeout: ms(waitTimeout),
	}
	if op.Backend == "" {
		of = computing(of)
	}
	all = append(all, of)
	for _, choice := range op.Choices {
		for _, value := range choice.Values[1:] {
			with := of
			with.With = choice.Name + "=" + value
			if value == slowops.WorkCPU {
				with = computing(with)
			}
			all = append(all, with)
		}
	}
	return all
}

// computing returns a client whose calls keep a processor busy.
func computing(c results.Client) results.Client {
	c.Delay, c.Timeout = ms(computeDelay), ms(computeTimeout)
	return c
}

// computes reports whether the calls of a client keep a processor busy.
func computes(c results.Client) bool { return c.Delay == ms(computeDelay) }

// standIns notes which backends are the lab's own.
func (s *survey) standIns(ctx context.Context) error {
	var answer struct {
		Backends []struct {
			Name     string
			Embedded bool
		}
	}
	err := s.Lab.get(ctx, "/backends", &answer)
	for i := range s.atlas.Clients {
		for _, b := range answer.Backends {
			s.atlas.Clients[i].Embedded = s.atlas.Clients[i].Embedded || b.Name == s.atlas.Clients[i].Op && b.Embedded
		}
	}
	return err
}

// on runs the cells of a network. Only the first network has those of clients whose calls
// compute: the calls that wait show what the network changes.
func (s *survey) on(ctx context.Context, profile string, first bool) error {
	at := results.Cell{Network: profile}
	if err := s.setNetwork(ctx, &at); err != nil {
		return s.stopped(ctx, fmt.Errorf("network %s: %w", profile, err))
	}
	network := results.AtlasNetwork{Profile: at.Network, Driver: at.Driver, RoundTrip: at.RoundTrip}
	var err error
	if network.Before, err = s.idle(ctx); err != nil {
		return s.stopped(ctx, err)
	}
	s.atlas.Networks = append(s.atlas.Networks, network)
	var waits, computations []job
	for _, client := range s.atlas.Clients {
		if computes(client) && !first {
			continue
		}
		jobs := s.cells(client, at.Network)
		if computes(client) {
			computations = append(computations, jobs...)
		} else {
			waits = append(waits, jobs...)
		}
	}
	err = s.together(ctx, waits)
	for _, job := range computations {
		if err == nil && ctx.Err() == nil {
			err = s.run(ctx, job)
		}
	}
	if err != nil || ctx.Err() != nil {
		return s.stopped(ctx, err)
	}
	after, err := s.idle(ctx)
	s.atlas.Networks[len(s.atlas.Networks)-1].After = &after
	return s.stopped(ctx, err)
}

// idle waits until idle connections are closed, and returns the number of goroutines.
func (s *survey) idle(ctx context.Context) (goroutines int, err error) {
	if err := s.settle(ctx, s.Plan.Ops...); err != nil {
		return 0, err
	}
	f, err := s.Lab.Facts(ctx)
	return f.Now.Goroutines, err
}

// job is one run of a cell.
type job struct {
	client results.Client
	cell   *results.AtlasCell
}

// cells adds the cells of a client on a network, and returns their runs.
func (s *survey) cells(client results.Client, network string) (jobs []job) {
	for _, strategy := range s.Plan.Strategies {
		for _, ctx := range s.Plan.Ctxs {
			cell := &results.AtlasCell{
				Strategy: strategy, Op: client.Op, With: client.With, Ctx: ctx, Network: network,
				Path: atlasPath(strategy, client, ctx, span(client.Delay)),
			}
			s.atlas.Cells = append(s.atlas.Cells, cell)
			for range s.Plan.Repeat {
				jobs = append(jobs, job{client, cell})
			}
		}
	}
	return jobs
}

// atlasPath is the path and query of a run.
func atlasPath(strategy string, c results.Client, ctx string, delay time.Duration) string {
	with := ""
	if c.With != "" {
		with = "&" + c.With
	}
	return fmt.Sprintf("/%s?op=%s%s&ctx=%s&delay=%s&timeout=%s", strategy, url.QueryEscape(c.Op), with, ctx, delay, span(c.Timeout))
}

// together runs calls that wait: those of an op a few at once, and all ops beside each other.
func (s *survey) together(ctx context.Context, jobs []job) error {
	var ops errgroup.Group
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	for _, op := range s.Plan.Ops {
		var calls errgroup.Group
		calls.SetLimit(atOnce)
		ops.Go(func() error {
			for _, job := range jobs {
				if job.client.Op == op && ctx.Err() == nil {
					calls.Go(func() error {
						err := s.run(ctx, job)
						if err != nil {
							stop() // the lab is gone
						}
						return err
					})
				}
			}
			return calls.Wait()
		})
	}
	return ops.Wait()
}

// run makes a run and, when all of its work has ended, a clean call on the same pool. It
// fails where the lab is gone.
func (s *survey) run(ctx context.Context, job job) error {
	if s.begun(job) {
		return nil // the lab has refused such a call
	}
	var answer wire.Answer
	run := results.AtlasRun{}
	err := s.Lab.get(ctx, job.cell.Path, &answer)
	var no *refused
	switch {
	case errors.As(err, &no) && no.status == http.StatusBadRequest:
		s.refuse(job, no.message)
		return nil
	case errors.As(err, &no):
		run.Error = no.message
	case err != nil:
		return s.stopped(ctx, err)
	case answer.Receipt != nil:
		run.Receipt = new(receipt.View)
		err = s.Lab.get(ctx, *answer.Receipt+"?format=json&wait="+patience.String(), run.Receipt)
		if err != nil {
			return s.stopped(ctx, err)
		}
	}
	start := time.Now()
	err = s.Lab.run(ctx, atlasPath(results.SampleName(), job.client, wire.Ctxs()[0], 0))
	if run.CleanMS, run.Clean = ms(time.Since(start)), err == nil; err != nil && run.Error == "" {
		run.Error = err.Error()
	}
	if ctx.Err() == nil {
		s.mu.Lock()
		job.cell.Runs = append(job.cell.Runs, run)
		s.mu.Unlock()
	}
	return nil
}

// begun shows the progress, and reports whether the lab has refused a run of the cell.
func (s *survey) begun(job job) (known bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.done++
	s.last = time.Now()
	s.show(results.Cell{Cell: s.done, Strategy: job.cell.Strategy, Op: job.cell.Op, Ctx: job.cell.Ctx, Network: job.cell.Network}, job.cell.Ctx)
	return job.cell.Why != ""
}

func (s *survey) refuse(job job, why string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	job.cell.Why = why
}
