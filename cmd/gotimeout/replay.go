package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"gotimeout/internal/prose"
	"gotimeout/internal/replay"
)

type replayCmd struct {
	ID   string `arg:"" optional:"" predictor:"replay" help:"The issue to replay (default: list them)."`
	All  bool   `help:"Replay every issue."`
	JSON bool   `help:"Print each replay as a JSON object on a line of its own."`
}

// replayIDs returns the issues that replay takes.
func replayIDs() (ids []string) {
	for _, e := range replay.All() {
		ids = append(ids, e.ID)
	}
	return ids
}

// Help returns the text of the help above the flags. kong calls it.
func (replayCmd) Help() string {
	return `Somebody reported each of these issues about timeouts. A replay runs the issue on
this machine, and beside it the control, which is the same experiment with the
remedy. Each has a process of its own, so a crash is an outcome too.

  gotimeout replay mysql-731
  gotimeout replay --all

The verdict is reproduced; changed, if what was reported did not happen, or if the
remedy does not help; or cannot run here, with the reason.

--json prints id, title, issues (addresses), reported, does, remedy, verdict,
reason, trial and control (each with saw and reproduced, null where it did not
run), and seconds.

The exit status is 0 unless the remedy of an issue does not help.`
}

// replaysAtOnce is how many issues are replayed beside each other: most of them mostly wait.
const replaysAtOnce = 4

// Run lists or replays issues. kong calls it.
func (c *replayCmd) Run(ctx context.Context, to streams) error {
	switch {
	case c.ID == "" && !c.All:
		return c.list(to)
	case c.ID != "" && c.All:
		return usagef("--all replays every issue: give it without %s", c.ID)
	}
	var chosen []replay.Experiment
	for _, e := range replay.All() {
		if c.All || e.ID == c.ID {
			chosen = append(chosen, e)
		}
	}
	if len(chosen) == 0 {
		return usagef("%s", prose.Unknown("issue", c.ID, replayIDs()))
	}
	p := replayPrinter{to: to.out, json: c.JSON, brief: c.All, width: min(to.columns(to.out), 100)}
	err := replay.Each(ctx, chosen, replaysAtOnce, p.print)
	switch {
	case ctx.Err() != nil:
		return to.interrupted("the issues that are missing were not replayed")
	case err != nil:
		return err
	}
	return p.end()
}

func (c *replayCmd) list(to streams) error {
	for _, e := range replay.All() {
		if err := c.listed(to, e); err != nil {
			return err
		}
	}
	return nil
}

func (c *replayCmd) listed(to streams, e replay.Experiment) error {
	if c.JSON {
		return json.NewEncoder(to.out).Encode(e.Unreplayed())
	}
	_, err := fmt.Fprintf(to.out, "%-*s%s\n", idWidth, e.ID, prose.Hang(e.Title, idWidth, to.columns(to.out)))
	return err
}

// idWidth is the width of the column of the IDs.
const idWidth = 17

// replayPrinter prints replays as they come.
type replayPrinter struct {
	to          io.Writer
	json, brief bool
	width       int
	replays     int
	verdicts    map[replay.Verdict]int
	failed      []string // the issues whose remedy does not help
}

func (p *replayPrinter) print(r replay.Result) error {
	if p.verdicts == nil {
		p.verdicts = map[replay.Verdict]int{}
	}
	p.replays++
	p.verdicts[r.Verdict]++
	if r.Failed() {
		p.failed = append(p.failed, r.ID)
	}
	if p.json {
		return json.NewEncoder(p.to).Encode(r)
	}
	var b strings.Builder
	line := func(label, text string) {
		if text != "" {
			fmt.Fprintf(&b, "  %-9s%s\n", label, prose.Hang(text, 11, p.width))
		}
	}
	if p.brief && p.replays > 1 {
		b.WriteString("\n")
	}
	fmt.Fprintf(&b, "%s\n", prose.Hang(r.ID+": "+r.Title, 0, p.width))
	if !p.brief {
		line("issue", strings.Join(r.Issues, " "))
		line("reported", r.Reported)
		line("does", r.Does)
		line("remedy", r.Remedy)
	}
	if r.Trial != nil {
		line("saw", r.Trial.Saw)
		line("control", r.Control.Saw)
	}
	line("verdict", strings.TrimSuffix(string(r.Verdict)+": "+r.Reason, ": "))
	_, err := io.WriteString(p.to, b.String())
	return err
}

// end prints how many issues had each verdict, and returns an error if a control failed.
func (p *replayPrinter) end() error {
	if len(p.failed) > 0 {
		return fmt.Errorf("the remedy does not help: %s", strings.Join(p.failed, ", "))
	}
	if p.json || !p.brief {
		return nil
	}
	_, err := fmt.Fprintf(p.to, "\n%s: %d %s, %d %s, %d %s.\n", prose.Count(p.replays, "issue"),
		p.verdicts[replay.Reproduced], replay.Reproduced, p.verdicts[replay.Changed], replay.Changed, p.verdicts[replay.CannotRun], replay.CannotRun)
	return err
}
