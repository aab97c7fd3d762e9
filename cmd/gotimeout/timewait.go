package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"gotimeout/internal/badnet/private"
	"gotimeout/internal/prose"
	"gotimeout/internal/timewait"
)

type timewaitCmd struct {
	Only []string `enum:"{experiments}" placeholder:"NAME" help:"The experiments to run, of ${enum} (default: all)."`
	Fast bool     `help:"Watch a TIME-WAIT for some seconds instead of its minute, and make fewer requests."`
	JSON bool     `help:"Print each step as a JSON object on a line of its own."`
}

// experimentNames returns the names that --only takes.
func experimentNames() (names []string) {
	for _, e := range timewait.All() {
		names = append(names, e.Name)
	}
	return names
}

// Help returns the text of the help above the flags. kong calls it.
func (timewaitCmd) Help() string {
	return `Experiments make connections on a private loopback, without root, and read from
the kernel what became of them. Each step prints what it did and saw, and why it
is so. A step whose outcome was not expected says so.

  gotimeout timewait --fast
  gotimeout timewait --only who,restart

--json prints experiment, did, expected, saw, ok, why, command (which shows the
same on any machine, or ""), and the counts of the step, null where the step made
no such count: requests, opened (connections), ideal (connections, if each were
used again), client_time_wait and server_time_wait (ends in TIME-WAIT), resets
(RSTs sent), reused (TIME-WAITs that a new connection took over), ports (in the
range for clients), tcp_tw_reuse (the setting) and seconds.

The exit status is 0 where each outcome was expected, 1 where one was not, and
125 where this system has no private network.`
}

// Run runs the experiments. kong calls it.
func (c *timewaitCmd) Run(ctx context.Context, to streams) error {
	return inPrivate(ctx, to, private.Work{Inside: func(ctx context.Context, _ *private.Process) (int, error) {
		p := stepPrinter{to: to.out, json: c.JSON, width: min(to.columns(to.out), 100)}
		err := c.experiments(ctx, &p)
		switch {
		case ctx.Err() != nil:
			return 0, to.interrupted("the experiments that are missing were not run")
		case err != nil:
			return 0, err
		}
		return 0, p.verdict()
	}})
}

func (c *timewaitCmd) experiments(ctx context.Context, p *stepPrinter) error {
	for _, e := range timewait.All() {
		if len(c.Only) > 0 && !slices.Contains(c.Only, e.Name) {
			continue
		}
		p.begin(e)
		if err := e.Run(ctx, c.Fast, p.step); err != nil {
			return err
		}
	}
	return nil
}

// stepPrinter prints experiments as they go.
type stepPrinter struct {
	to                 io.Writer
	json               bool
	width              int
	experiments, steps int
	inTable            bool     // the step before was a row
	unexpected         []string // the steps with an unexpected outcome
	failed             error    // the error of a write
}

func (p *stepPrinter) printf(format string, args ...any) {
	if _, err := fmt.Fprintf(p.to, format, args...); err != nil && p.failed == nil {
		p.failed = err
	}
}

// begin prints the heading of an experiment.
func (p *stepPrinter) begin(e timewait.Experiment) {
	if p.json {
		return
	}
	if p.experiments++; p.experiments > 1 {
		p.printf("\n")
	}
	p.printf("%s\n", prose.Hang(strings.ToUpper(e.Name)+": "+e.Title, 0, p.width))
	p.inTable = false
}

// step prints a step. It is a row of a table if the step compares the connections of both ends
// with an ideal, and the row fits.
func (p *stepPrinter) step(s timewait.Step) {
	p.steps++
	if !s.OK {
		p.unexpected = append(p.unexpected, s.Experiment+": "+s.Did)
	}
	if p.json {
		if err := json.NewEncoder(p.to).Encode(s); err != nil && p.failed == nil {
			p.failed = err
		}
		return
	}
	if s.Ideal != nil && s.ServerTimeWait != nil && p.width >= rowWidth {
		p.row(s)
	} else {
		p.printf("\n  %s\n", prose.Hang(s.Did, 2, p.width))
		p.line("saw", s.Saw)
	}
	if !s.OK {
		p.line("NOT", s.Expected+", which was expected")
	}
	p.line("why", s.Why)
	if s.Command != "" {
		p.line("try", s.Command)
	}
}

func (p *stepPrinter) line(label, text string) {
	p.printf("    %s  %s\n", label, prose.Hang(text, 9, p.width))
}

// rowWidth is the width of the table.
const rowWidth = 74

// row prints a step as a row.
func (p *stepPrinter) row(s timewait.Step) {
	if !p.inTable {
		p.inTable = true
		p.printf("\n  %s\n\n", prose.Hang(fmt.Sprintf("%d requests by %d workers, who think in between; tcp_tw_reuse=%d", *s.Requests, *s.Ideal, *s.TWReuse), 2, p.width))
		p.printf("%50s  %s\n", "", "TIME-WAIT at the")
		p.printf("  %-32s  %6s  %5s  %8s %8s  %4s\n", "", "opened", "ideal", "client", "server", "RST")
	}
	p.printf("\n  %-32s  %6d  %5d  %8d %8d  %4d\n", s.Did, *s.Opened, *s.Ideal, *s.ClientTimeWait, *s.ServerTimeWait, *s.Resets)
}

// verdict prints whether each outcome was expected, and returns an error if one was not.
func (p *stepPrinter) verdict() error {
	switch {
	case len(p.unexpected) > 0:
		return fmt.Errorf("the kernel did otherwise than expected in %d of %d steps: %s", len(p.unexpected), p.steps, strings.Join(p.unexpected, "; "))
	case !p.json:
		p.printf("\nSteps that came out as expected: %d of %[1]d.\n", p.steps)
	}
	return p.failed
}
