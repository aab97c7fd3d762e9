package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"gotimeout/internal/load"
	"gotimeout/internal/report"
	"gotimeout/internal/results"
)

type recommendCmd struct {
	FalseTimeouts share           `default:"1%" help:"The share of calls that may be cut though they would have completed."`
	Op            string          `default:"http" help:"The op."`
	Ctx           string          `default:"aware" enum:"aware,deaf" help:"Whether the op honours its context: aware or deaf."`
	Network       string          `placeholder:"PROFILE" predictor:"profile" help:"The network: a preset, as 3g, or keys, as 'delay=100ms loss=1%'. Without it, the lab as it is."`
	Delay         []time.Duration `default:"50ms" help:"How long the work takes: the requests take these in turn. All of it is to complete, so that every timeout is false."`
	Strategies    []string        `placeholder:"NAME" help:"The strategies to try, all if you say nothing."`
	Rate          int             `default:"200" help:"Requests a second, whatever becomes of those before."`
	Requests      int             `placeholder:"N" help:"How many requests the timeout is told from; as many as its interval needs, at least 1000, if you say nothing."`
	URL           string          `placeholder:"URL" help:"A running lab, as http://127.0.0.1:8000. Without it recommend starts one, which takes its backends from the environment as serve does."`

	Out   string `placeholder:"FILE" predictor:"file" help:"Write the records to this file, as JSON lines, which gotimeout report reads."`
	HTML  string `placeholder:"FILE" predictor:"file" help:"Write a page with pictures to this file."`
	JSON  bool   `name:"json" help:"Print the recommendation as one JSON object instead of text."`
	Quiet bool   `help:"Print nothing before the recommendation."`
}

// Help is what the help says beyond the flags. kong calls it.
func (recommendCmd) Help() string {
	return `Recommend measures how long calls take without a timeout, under an open-loop load
on the network. It recommends the timeout that cuts no more than the given share of
these calls. The 95% interval of that timeout holds for any distribution, if the
calls don't depend on each other. Then recommend puts each strategy under the same
load at timeouts around the recommended one. A strategy whose cuts slow the calls
that follow, because a cut closes the connection, cuts more than the share.

  gotimeout recommend --network 3g
  gotimeout recommend --op db --delay 10ms,200ms --false-timeouts 0.1%

The exit status is 0, 1 where the calls could not be made, and 130 after Ctrl-C,
which reports the calls until then.`
}

// Run finds a timeout. kong calls it.
func (c *recommendCmd) Run(ctx context.Context, getenv environment, to streams) error {
	plan, err := c.plan()
	if err != nil {
		return err
	}
	lab, closeLab, err := openLab(ctx, c.URL, getenv("GOTIMEOUT_TOKEN"), &plan)
	if err != nil {
		return interrupted(ctx, err)
	}
	defer closeLab()
	plan.Strategies = slices.DeleteFunc(plan.Strategies, func(name string) bool { return name == results.SampleName })
	keep, err := openKeeper(c.Out, c.HTML)
	if err != nil {
		return err
	}
	show := newProgress(to, c.Quiet)
	defer context.AfterFunc(ctx, show.interrupted)()
	c.announce(to, plan)
	r := keep.collector.Results()
	err = (&load.Comparison{
		Lab: lab, Own: c.URL == "", Command: commandLine(), Plan: plan, Record: keep.record, Show: show.progress,
	}).Recommend(ctx, float64(c.FalseTimeouts), r)
	show.end()
	err = cmp.Or(err, keep.close())
	if rec, none := results.Recommend(r, float64(c.FalseTimeouts)); none == nil {
		write := func() error { return report.Recommendation(to.out, rec, to.columns(to.out)) }
		if c.JSON {
			write = func() error { return report.RecommendationJSON(to.out, rec) }
		}
		err = errors.Join(err, write(), keep.page(func(w io.Writer) error { return report.RecommendationHTML(w, rec) }))
	}
	return interrupted(ctx, err)
}

// announce says how long it takes, before it begins.
func (c *recommendCmd) announce(to streams, plan load.Plan) {
	if c.Quiet {
		return
	}
	fmt.Fprintf(to.err, "%d calls without a timeout take %s, and with the sweep it takes about %s.\n",
		c.Requests, plan.Duration.Round(time.Second/10), plan.TakesSweep(float64(c.FalseTimeouts)).Round(time.Second))
}
