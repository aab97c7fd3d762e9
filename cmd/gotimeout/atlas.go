package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"

	"gotimeout/internal/badnet"
	"gotimeout/internal/load"
	"gotimeout/internal/report"
	"gotimeout/internal/results"

	"github.com/alecthomas/kong"
)

type atlasCmd struct {
	envFlags

	Strategies []string `placeholder:"NAME" predictor:"strategy" help:"The strategies to run (default: all)."`
	Ops        []string `placeholder:"NAME" help:"The ops to run them on (default: each op with a backend that can be slow, and cpu)."`
	Network    []string `sep:"none" placeholder:"PROFILE" predictor:"profile" help:"A network to run them on: a preset such as 3g, or keys such as 'delay=100ms loss=1%' (default: none and cross-region). Repeat the flag for several networks, the good one first."`
	Repeat     int      `default:"3" help:"How often each call is made. The median counts."`
	URL        string   `placeholder:"URL" help:"The URL of a running lab, such as http://127.0.0.1:8000. Without --url, atlas starts a lab, with the flags and environment variables of serve for its backends."`

	Out      string `placeholder:"FILE" predictor:"file" help:"Write the receipts to this file, as one JSON object, which gotimeout report reads."`
	HTML     string `placeholder:"FILE" predictor:"file" help:"Write a page to this file, with the receipts of each cell."`
	Markdown string `placeholder:"FILE" predictor:"file" help:"Write the text with its tables to this file, as Markdown."`
	Quiet    bool   `help:"Print nothing before the results."`

	labFlags
}

// Help returns the text of the help above the flags. kong calls it.
func (atlasCmd) Help() string {
	return `Atlas runs each strategy with each client, once with calls that honour their context
and once with calls that ignore it, on a good and a bad network. From the receipts it
says of each client what its context, its own timeouts and a limit in its server do,
what they leave behind, and what to set. Each call takes three times its timeout.

  gotimeout atlas
  gotimeout atlas --html atlas.html --markdown atlas.md
  gotimeout atlas --ops db --network none --network 3g

The exit status is 0, 1 where the calls could not be made, and 130 after Ctrl-C, which
reports the cells until then.`
}

// usuallySurveyed has the networks of an atlas without --network.
var usuallySurveyed = []string{badnet.None, "cross-region"}

// Run makes an atlas. kong calls it.
func (c *atlasCmd) Run(ctx context.Context, getenv environment, to streams, typed *kong.Context) error {
	plan, err := c.plan()
	if err != nil {
		return err
	}
	files, err := c.open()
	if err != nil {
		return err
	}
	lab, closeLab, err := openLab(ctx, c.URL, getenv("GOTIMEOUT_TOKEN"), &plan, load.Plan{}, environmentGiven(typed), c.EnvFile.args()...)
	if err != nil {
		return interrupted(ctx, to, false, err)
	}
	defer closeLab()
	plan.Strategies, plan.Ops = c.Strategies, c.Ops // openLab fills in what a comparison takes
	show := newProgress(to, c.Quiet)
	defer context.AfterFunc(ctx, show.interrupted)()
	atlas, err := (&load.Comparison{Lab: lab, Own: c.URL == "", Command: commandLine(typed), Plan: plan, Show: show.survey}).Atlas(ctx)
	show.end()
	if err != nil {
		return interrupted(ctx, to, false, err)
	}
	if len(atlas.Cells) > 0 {
		err = errors.Join(report.Atlas(to.out, atlas, to.columns(to.out)), files.write(atlas))
	}
	return interrupted(ctx, to, len(atlas.Cells) > 0, err)
}

// plan reads the flags.
func (c *atlasCmd) plan() (load.Plan, error) {
	p := load.Plan{Strategies: c.Strategies, Ops: c.Ops, Networks: c.Network, Repeat: c.Repeat}
	if len(p.Networks) == 0 && c.URL == "" {
		p.Networks = usuallySurveyed
	}
	if c.Repeat < 1 || c.Repeat > maxRepeat {
		return p, usagef("--repeat is %d: use 1 to %d", c.Repeat, maxRepeat)
	}
	return p, checkNetworks(c.Network)
}

// atlasFiles are the files of an atlas, nil where none was asked for.
type atlasFiles []struct {
	file  *lateFile
	write func(io.Writer, *results.Atlas) error
}

// open opens the files before the first run.
func (c *atlasCmd) open() (files atlasFiles, err error) {
	for _, of := range []struct {
		flag, path string
		write      func(io.Writer, *results.Atlas) error
	}{
		{"--out", c.Out, func(w io.Writer, a *results.Atlas) error { return a.Write(w) }},
		{"--html", c.HTML, report.AtlasHTML},
		{"--markdown", c.Markdown, report.AtlasMarkdown},
	} {
		file, err := openLate(of.path)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", of.flag, err)
		}
		files = append(files, struct {
			file  *lateFile
			write func(io.Writer, *results.Atlas) error
		}{file, of.write})
	}
	return files, nil
}

func (files atlasFiles) write(a *results.Atlas) error {
	for _, of := range files {
		if of.file == nil {
			continue
		}
		if err := cmp.Or(of.write(of.file, a), of.file.Close()); err != nil {
			return err
		}
	}
	return nil
}
