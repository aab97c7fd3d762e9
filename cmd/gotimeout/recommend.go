package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"gotimeout/internal/badnet"
	"gotimeout/internal/load"
	"gotimeout/internal/report"
	"gotimeout/internal/results"

	"github.com/alecthomas/kong"
)

type recommendCmd struct {
	envFlags

	FalseTimeouts share           `default:"1%" help:"The share of calls that may be cut though they would have completed."`
	Op            string          `placeholder:"NAME" help:"The op whose timeout is wanted (default: your own call, or else http)."`
	Ctx           string          `default:"aware" enum:"{ctxs}" help:"Whether the op honours its context (aware) or ignores it (deaf)."`
	Network       string          `placeholder:"PROFILE" predictor:"profile" help:"The network to the backend: a preset such as 3g, or keys such as 'delay=100ms loss=1%' (default: the lab's network as it is)."`
	Delay         []time.Duration `placeholder:"50ms" help:"How long the slow work takes. Several durations are taken in turn, one for each request. Every call would complete, so every timeout is false. Your own call has no delay."`
	Strategies    []string        `placeholder:"NAME" help:"The strategies to try (default: all)."`
	Rate          rate            `default:"200" help:"Requests a second, or as 30/m or 2/h. Each is sent when it is due, whether or not earlier ones were answered."`
	Requests      int             `placeholder:"N" help:"How many calls the timeout is estimated from (default: as many as its interval needs, at least 1000)."`
	URL           string          `placeholder:"URL" help:"The URL of a running lab, such as http://127.0.0.1:8000. Without --url, recommend starts a lab, with the flags and environment variables of serve for its backends."`

	Out   string `placeholder:"FILE" predictor:"file" help:"Write the records to this file, as JSON lines, which gotimeout report reads."`
	HTML  string `placeholder:"FILE" predictor:"file" help:"Write a page with pictures to this file."`
	JSON  bool   `name:"json" help:"Print the recommendation as one JSON object instead of text."`
	Quiet bool   `help:"Print nothing before the recommendation."`

	labFlags
}

// Help returns the text of the help above the flags. kong calls it.
func (recommendCmd) Help() string {
	return `Recommend measures how long calls take without a timeout, under an open-loop load
on the network. It recommends the timeout that cuts no more than the given share of
these calls. The 95% interval of that timeout holds for any distribution, if the
calls don't depend on each other. Then recommend puts each strategy under the same
load at timeouts around the recommended one. A strategy whose cuts slow the calls
that follow, because a cut closes the connection, cuts more than the share.

  gotimeout recommend --network 3g
  gotimeout recommend --http-request https://example.com/report?id=7
  gotimeout recommend --op db --delay 10ms,200ms --false-timeouts 0.1%

The exit status is 0, 1 where the calls could not be made, and 130 after Ctrl-C,
which reports the calls until then.`
}

// Run finds a timeout. kong calls it.
func (c *recommendCmd) Run(ctx context.Context, getenv environment, to streams, typed *kong.Context) error {
	plan, err := c.plan()
	if err != nil {
		return err
	}
	lab, closeLab, err := openLab(ctx, c.URL, getenv("GOTIMEOUT_TOKEN"), &plan,
		load.Plan{Ops: []string{"http"}, Delays: []time.Duration{50 * time.Millisecond}}, environmentGiven(typed), c.EnvFile.args()...)
	if err != nil {
		return interrupted(ctx, to, false, err)
	}
	defer closeLab()
	plan.Strategies = slices.DeleteFunc(plan.Strategies, func(name string) bool { return name == results.SampleName() })
	keep, err := openKeeper(c.Out, c.HTML)
	if err != nil {
		return err
	}
	show := newProgress(to, c.Quiet)
	defer context.AfterFunc(ctx, show.interrupted)()
	c.announce(to, plan)
	r := keep.collector.Results()
	err = (&load.Comparison{
		Lab: lab, Own: c.URL == "", Command: commandLine(typed), Plan: plan, Record: keep.record, Show: show.progress,
	}).Recommend(ctx, float64(c.FalseTimeouts), r)
	show.end()
	err = cmp.Or(err, keep.close())
	rec, none := results.Recommend(r, float64(c.FalseTimeouts))
	if none == nil {
		write := func() error { return report.Recommendation(to.out, rec, to.columns(to.out)) }
		if c.JSON {
			write = func() error { return report.RecommendationJSON(to.out, rec) }
		}
		err = errors.Join(err, write(), keep.page(func(w io.Writer) error { return report.RecommendationHTML(w, rec) }))
	}
	return interrupted(ctx, to, none == nil, err)
}

// announce prints how long the search takes, before it begins.
func (c *recommendCmd) announce(to streams, plan load.Plan) {
	if c.Quiet {
		return
	}
	fmt.Fprintf(to.err, "%d calls without a timeout take %s, and with the sweep it takes about %s.\n",
		c.Requests, plan.Duration.Round(time.Second/10), plan.TakesSweep(float64(c.FalseTimeouts)).Round(time.Second))
}

const (
	// longestSample is how long a sample may take.
	longestSample = time.Hour
	// mostRequests is somewhat less than the number of receipts that a lab can keep.
	mostRequests = 400_000
	// warmUpOnNetwork is how long a load takes until it is steady, with a handshake
	// of a second and a link that all calls dial on at once.
	warmUpOnNetwork = 2 * time.Second
)

// plan reads the flags.
func (c *recommendCmd) plan() (p load.Plan, err error) {
	least := results.SampleSize(float64(c.FalseTimeouts))
	c.Requests = cmp.Or(c.Requests, max(1000, least))
	switch {
	case c.Requests < least || c.Requests > mostRequests:
		return p, usagef("--requests is %d: the interval of %s needs at least %d, and a lab keeps at most %d", c.Requests, c.FalseTimeouts, least, mostRequests)
	case float64(c.Requests)/float64(c.Rate) > longestSample.Seconds():
		return p, usagef("%d requests at %s take longer than an hour: raise --rate or --false-timeouts", c.Requests, c.Rate)
	case c.Delay != nil && len(c.Delay) == 0:
		return p, usagef("--delay is empty: give it a duration, as 50ms, or several, as 10ms,100ms")
	case slices.Contains(c.Strategies, results.SampleName()):
		return p, usagef("--strategies: %s has no timeout that could be false; it is the sample", results.SampleName())
	}
	p = load.Plan{
		Strategies: c.Strategies, Ctxs: []string{c.Ctx}, Delays: c.Delay,
		Rate: float64(c.Rate), Repeat: 1,
	}
	p.Duration = time.Duration(c.Requests) * p.Interval()
	if c.Op != "" {
		p.Ops = []string{c.Op}
	}
	if c.Network != "" {
		if _, err := badnet.Parse(c.Network); err != nil {
			return p, usagef("--network: %w", err)
		}
		p.Networks, p.WarmUp = []string{c.Network}, warmUpOnNetwork
	}
	return p, nil
}

// share is a share from 0 to 1, which is written in percent.
type share float64

func (s share) String() string { return strconv.FormatFloat(100*float64(s), 'g', 6, 64) + "%" }

// UnmarshalText reads a share. kong calls it.
func (s *share) UnmarshalText(text []byte) error {
	number, percent := strings.CutSuffix(string(text), "%")
	v, err := strconv.ParseFloat(number, 64)
	switch {
	case err != nil || !percent:
		return fmt.Errorf("%q is no share: write percent, as 1%% or 0.1%%", text)
	case v == 0:
		return errors.New("0% can't be had, as a call may always take longer: use 0.01% to 50%")
	case !(v >= 0.01 && v <= 50):
		return fmt.Errorf("%s is out of range: use 0.01%% to 50%%", text)
	}
	*s = share(v / 100)
	return nil
}
