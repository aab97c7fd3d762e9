package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"gotimeout/internal/badnet"
	"gotimeout/internal/compare"
	"gotimeout/internal/compare/report"
	"gotimeout/internal/compare/results"
)

type compareCmd struct {
	URL        string   `placeholder:"URL" help:"A running lab, as http://127.0.0.1:8000. Without it compare starts one, which takes its backends from the environment as serve does."`
	Strategies []string `placeholder:"NAME" help:"The strategies to compare, all if you say nothing."`
	Ops        []string `default:"http,cache,db" help:"The ops to compare them on."`
	Ctx        []string `default:"aware" enum:"aware,deaf" help:"Whether the ops honour their context: aware, deaf or both."`
	Network    []string `sep:"none" placeholder:"PROFILE" help:"A network to compare them on: a preset, as 3g, or keys, as 'delay=100ms loss=1%'. Give it several times for several."`
	loadFlags

	Out    string   `placeholder:"FILE" help:"Where the raw results go, as JSON lines, which gotimeout report reads."`
	HTML   string   `placeholder:"FILE" help:"Where a report with pictures goes, as one file."`
	FailIf []string `sep:"none" placeholder:"CONDITION" help:"Exit with 3 if it is so, as 'context-cancel.overshoot_p99_ms > 50'; without a strategy it is about all of them. Give it several times for several."`
	Quiet  bool     `help:"Say nothing before the tables."`
}

// loadFlags say what load a comparison makes.
type loadFlags struct {
	Timeout  span          `default:"250ms" help:"The bound."`
	Delay    []span        `default:"10ms,10ms,10ms,1s" help:"How long the work takes: the requests take these in turn."`
	Rate     int           `default:"200" help:"Requests a second, whatever becomes of those before."`
	Duration time.Duration `default:"2s" help:"How long the load of each cell lasts."`
	Repeat   int           `default:"1" help:"How often all of it is run; 5 times tell a change from noise."`
}

// Help is what the help says beyond the flags. kong calls it.
func (compareCmd) Help() string {
	return `Each strategy is put under the same open load on each op: requests that are sent
when they are due, slow and fast ones in turn. Then it waits until the last of the
work has ended, and probes with clean calls whether the service still works. The
floor is the baseline under calls that end in time: what the machine adds.

  gotimeout compare
  gotimeout compare --ops db --network 3g --network none --html page.html
  gotimeout compare --fail-if 'probe_failures > 0' --out results.jsonl

The exit status is 0, 1 where it could not be run, 3 where a --fail-if is so, and
130 after Ctrl-C, which ends the cell and reports what is there.`
}

// exitCondition is the exit status where a --fail-if is so.
const exitCondition = 3

// Run compares. kong calls it.
func (c *compareCmd) Run(ctx context.Context, to streams) (err error) {
	plan, err := c.plan()
	if err != nil {
		return err
	}
	lab, closeLab, err := openLab(ctx, c.URL, plan)
	if err != nil {
		return err
	}
	defer closeLab()
	if len(plan.Strategies) == 0 {
		facts, err := lab.Facts(ctx)
		if err != nil {
			return err
		}
		plan.Strategies = facts.Strategies
	}
	conditions, err := parseConditions(c.FailIf, plan.Strategies)
	if err != nil {
		return err
	}
	keep, err := openKeeper(c.Out, c.HTML)
	if err != nil {
		return err
	}
	show := newProgress(to.err, c.Quiet)
	comparison := &compare.Comparison{
		Lab: lab, Own: c.URL == "", Command: commandLine(), Plan: plan,
		Record: func(record any) error {
			err := keep.record(record)
			show.record(record, keep.collector.Results())
			return err
		},
		Show: show.progress,
	}
	err = comparison.Run(ctx)
	show.end()
	if kept := keep.close(); err == nil {
		err = kept
	}
	r := keep.collector.Results()
	if len(r.Rows) > 0 {
		err = errors.Join(err, report.Table(to.out, r, 80), keep.page(r))
	}
	switch {
	case err != nil:
		return err
	case ctx.Err() != nil:
		return exitStatus(exitInterrupted)
	}
	return judge(to, conditions, r)
}

// plan reads the flags.
func (c *compareCmd) plan() (compare.Plan, error) {
	p := compare.Plan{
		Strategies: c.Strategies, Ops: c.Ops, Ctxs: c.Ctx, Networks: c.Network,
		Timeouts: []time.Duration{time.Duration(c.Timeout)},
		Rate:     c.Rate, Duration: c.Duration, Repeat: c.Repeat,
	}
	for _, d := range c.Delay {
		p.Delays = append(p.Delays, time.Duration(d))
	}
	for _, text := range c.Network {
		if _, err := badnet.Parse(text); err != nil {
			return p, fmt.Errorf("--network: %w", err)
		}
	}
	return p, c.loadFlags.check()
}

// The most that compare sends, and for how long: it is for a machine with a lab on it.
const (
	maxRate   = 100_000
	maxRepeat = 100
)

func (l loadFlags) check() error {
	switch {
	case l.Timeout == 0:
		return errors.New("--timeout is 0, which bounds nothing: it must be over 0")
	case len(l.Delay) == 0:
		return errors.New("--delay is empty: give it a duration, as 1s, or several, as 10ms,1s")
	case l.Rate < 1 || l.Rate > maxRate:
		return fmt.Errorf("--rate is %d: use 1 to %d requests a second", l.Rate, maxRate)
	case l.Duration < 100*time.Millisecond || l.Duration > time.Hour:
		return fmt.Errorf("--duration is %s: use 100ms to 1h", l.Duration)
	case float64(l.Rate)*l.Duration.Seconds() < 1:
		return fmt.Errorf("--rate %d for --duration %s is no request at all: raise one of them", l.Rate, l.Duration)
	case l.Repeat < 1 || l.Repeat > maxRepeat:
		return fmt.Errorf("--repeat is %d: use 1 to %d", l.Repeat, maxRepeat)
	}
	return nil
}

// judge tells which conditions are so.
func judge(to streams, conditions []report.Condition, r *results.Results) error {
	failed := false
	for _, condition := range conditions {
		for _, violation := range condition.Check(r) {
			failed = true
			fmt.Fprintf(to.err, "gotimeout: --fail-if: %s\n", violation)
		}
	}
	if failed {
		return exitStatus(exitCondition)
	}
	return nil
}

func parseConditions(texts, strategies []string) (all []report.Condition, err error) {
	for _, text := range texts {
		condition, err := report.ParseCondition(text, strategies)
		if err != nil {
			return nil, fmt.Errorf("--fail-if: %w", err)
		}
		all = append(all, condition)
	}
	return all, nil
}

// commandLine is what was typed, as a shell reads it.
func commandLine() string {
	words := []string{"gotimeout"}
	for _, word := range os.Args[1:] {
		if strings.ContainsAny(word, " '\"$*;&|<>()\\") {
			word = "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
		}
		words = append(words, word)
	}
	return strings.Join(words, " ")
}

// span is a duration as the lab's parameters take it: Go's, or plain seconds.
type span time.Duration

func (s span) String() string { return time.Duration(s).String() }

// UnmarshalText reads it. kong calls it.
func (s *span) UnmarshalText(text []byte) error {
	d, err := time.ParseDuration(string(text))
	if seconds, number := strconv.ParseFloat(string(text), 64); number == nil && seconds < 3600*24 {
		d, err = time.Duration(seconds*float64(time.Second)), nil
	}
	if err != nil || d < 0 {
		return fmt.Errorf("%q is no duration: write 250ms, 1.5s or plain seconds", text)
	}
	*s = span(d)
	return nil
}

// keeper keeps the records: in memory for the tables, and in a file.
type keeper struct {
	collector *results.Collector
	file      *os.File // nil where none is asked for
	writer    *results.Writer
	html      *os.File // nil where none is asked for
}

// openKeeper opens the files now, before anything is run in vain.
func openKeeper(out, html string) (k *keeper, err error) {
	k = &keeper{collector: results.NewCollector(), writer: results.NewWriter(io.Discard)}
	if out != "" {
		if k.file, err = os.Create(out); err != nil {
			return nil, fmt.Errorf("--out: %w", err)
		}
		k.writer = results.NewWriter(k.file)
	}
	if html != "" {
		if k.html, err = os.Create(html); err != nil {
			return nil, fmt.Errorf("--html: %w", err)
		}
	}
	return k, nil
}

// record writes out what there is with every sample, some times a second: a kill
// costs no more.
func (k *keeper) record(record any) error {
	err := cmp.Or(k.collector.Add(record), k.writer.Add(record))
	if _, ok := record.(*results.Sample); ok {
		err = cmp.Or(err, k.writer.Flush())
	}
	return err
}

func (k *keeper) close() error {
	err := k.writer.Flush()
	if k.file != nil {
		err = cmp.Or(err, k.file.Close())
	}
	return err
}

// page writes the report with pictures.
func (k *keeper) page(r *results.Results) error {
	if k.html == nil {
		return nil
	}
	return cmp.Or(report.HTML(k.html, r), k.html.Close())
}
