package load

import (
	"context"
	"errors"
	"time"

	"gotimeout/internal/results"
)

// Recommend samples how long calls take under the plan's load without a timeout. Then it
// puts the strategies under the same load, at timeouts around the one that cuts target, a
// share of the calls from 0 to 1. The plan has one op, ctx and network, and Recommend
// chooses its Timeouts. soFar are the results of the records so far. An interrupt and the
// errors are those of Run, and results.ErrNoSample.
func (c *Comparison) Recommend(ctx context.Context, target float64, soFar *results.Results) error {
	facts, err := c.Lab.Facts(ctx)
	if err != nil {
		return err
	}
	longest, err := time.ParseDuration(facts.Caps.MaxTimeout)
	if err != nil {
		return err
	}
	own := *c
	own.Plan.Timeouts = []time.Duration{longest} // for the baseline, which ignores it
	r, err := own.begin(ctx)
	if err != nil {
		return err
	}
	defer r.restore(ctx)
	r.takes, r.of = r.Plan.TakesSweep(target), 1+7*len(r.Plan.Strategies)
	sample := r.Plan
	sample.Strategies = []string{results.SampleName()}
	if err := r.cells(ctx, sample.matrix(), 1); err != nil {
		return err
	}
	rec, err := results.Recommend(soFar, target)
	switch {
	case err == nil:
		if err = r.sweep(ctx, rec, longest); err == nil {
			err = r.search(ctx, soFar, rec, longest)
		}
	case errors.Is(err, results.ErrNoSample) && ctx.Err() != nil:
		err = nil
	}
	if err != nil {
		return err
	}
	return r.end(ctx)
}

// sweep runs the strategies at each timeout.
func (r *runner) sweep(ctx context.Context, rec *results.Recommendation, longest time.Duration) error {
	timeouts := rec.Timeouts()
	r.of = r.done + len(timeouts)*len(r.Plan.Strategies)
	for _, at := range timeouts {
		if span(at) > longest {
			break
		}
		if err := r.try(ctx, at, rec, r.Plan.Strategies); err != nil {
			return err
		}
	}
	return nil
}

// try runs strategies at a timeout.
func (r *runner) try(ctx context.Context, timeout float64, rec *results.Recommendation, strategies []string) error {
	whole := r.Plan
	defer func() { r.Plan = whole }()
	r.Plan = whole.at(timeout, rec)
	r.Plan.Strategies = strategies
	return r.cells(ctx, r.Plan.matrix(), 1)
}

// mostSteps bounds the search for one strategy.
const mostSteps = 6

// search goes on with each strategy that missed at the recommended timeout, until the
// least timeout at which it reaches the target is known to a tenth, or it has missed at
// the longest timeout of the lab.
func (r *runner) search(ctx context.Context, soFar *results.Results, rec *results.Recommendation, longest time.Duration) error {
	for _, strategy := range r.Plan.Strategies {
		for range mostSteps {
			now, err := results.Recommend(soFar, rec.Target)
			if err != nil {
				return err
			}
			at, more := now.Next(strategy, float64(longest)/float64(time.Millisecond))
			if !more || ctx.Err() != nil {
				break
			}
			r.of = r.done + 1
			if err := r.try(ctx, at, rec, []string{strategy}); err != nil {
				return err
			}
		}
	}
	return nil
}

// fewer is how many requests are enough to tell the larger shares.
const fewer = 400

// at returns the part of the sweep at a timeout. At the recommended timeout it has as many
// requests as the sample, and at another timeout as many as are needed to tell the share
// that is expected there.
func (p Plan) at(timeout float64, rec *results.Recommendation) Plan {
	p.Timeouts = []time.Duration{span(timeout)}
	requests := fewer
	if timeout > rec.Timeout {
		requests = max(fewer, results.SampleSize(rec.Target))
	}
	if timeout != rec.Timeout {
		p.Duration = min(p.Duration, time.Duration(requests)*p.Interval())
	}
	return p
}

// TakesSweep estimates how long the sample and the sweep for a target take: with at most
// seven timeouts, three of them over the recommended one.
func (p Plan) TakesSweep(target float64) time.Duration {
	rec := &results.Recommendation{Target: target, Timeout: 1}
	under, at, over := p.at(0, rec), p, p.at(2, rec)
	n := len(p.Strategies)
	return at.take(1+n) + under.take(3*n) + over.take(3*n)
}
