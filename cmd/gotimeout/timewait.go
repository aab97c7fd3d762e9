package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"gotimeout/internal/badnet/private"
	"gotimeout/internal/timewait"
)

type timewaitCmd struct {
	Only []string `enum:"who,how-long,churn,ports,restart,linger,myth" placeholder:"NAME" help:"Make these experiments alone (${enum})."`
	Fast bool     `help:"Watch a TIME-WAIT for seconds instead of its minute, and make fewer requests."`
	JSON bool     `help:"Print each step as a JSON object on a line of its own."`
}

// Help is what the help says beyond the flags. kong calls it.
func (timewaitCmd) Help() string {
	return `It makes connections on a private loopback, without root, asks the kernel what
became of them, and prints step by step what it did and saw, and why it is so. A
step that came out other than expected says so.

  gotimeout timewait --fast
  gotimeout timewait --only who,restart

--json prints experiment, did, expected, saw, ok, why and command, which is one
that shows the same on any machine or "", and what the step counted, where null
is what it didn't: requests, opened (connections), ideal (connections, if each
were used again), client_time_wait and server_time_wait (ends in TIME-WAIT),
resets (RSTs sent), reused (TIME-WAITs taken for a new connection), ports (in the
range for clients), tcp_tw_reuse (the setting) and seconds.

The exit status is 0 where all is as expected, 1 where something is not, and 125
where there is no private network here.`
}

// exitInterrupted is the exit status after a signal, as a shell's.
const exitInterrupted = 130

// Run makes the experiments. kong calls it.
func (c *timewaitCmd) Run(ctx context.Context, to streams) error {
	if !private.Inside() {
		status, err := private.Run(private.Outside{})
		if err != nil {
			return refuse(to, err)
		}
		return exitStatus(status)
	}
	if _, err := private.Enter(false); err != nil {
		return refuse(to, err)
	}
	p := stepPrinter{to: to.out, json: c.JSON}
	err := c.experiments(ctx, &p)
	if ctx.Err() != nil {
		return exitStatus(exitInterrupted)
	}
	if err == nil {
		err = p.verdict()
	}
	return err
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
	to         interface{ Write([]byte) (int, error) }
	json       bool
	begun, all int
	table      bool     // the step before was a row of one
	otherwise  []string // the steps that came out other than expected
	failed     error    // of a write
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
	if p.begun++; p.begun > 1 {
		p.printf("\n")
	}
	p.printf("%s: %s\n", strings.ToUpper(e.Name), e.Title)
	p.table = false
}

// step prints a step, as a row of a table where it counted connections against
// an ideal at both ends.
func (p *stepPrinter) step(s timewait.Step) {
	p.all++
	if !s.OK {
		p.otherwise = append(p.otherwise, s.Experiment+": "+s.Did)
	}
	if p.json {
		if err := json.NewEncoder(p.to).Encode(s); err != nil && p.failed == nil {
			p.failed = err
		}
		return
	}
	const indent, width = 9, 80
	if s.Ideal != nil && s.ServerTimeWait != nil {
		p.row(s)
	} else {
		p.printf("\n  %s\n", wrap(s.Did, 2, width))
		p.printf("    saw  %s\n", wrap(s.Saw, indent, width))
	}
	if !s.OK {
		p.printf("    NOT  %s\n", wrap(s.Expected+", which was expected", indent, width))
	}
	p.printf("    why  %s\n", wrap(s.Why, indent, width))
	if s.Command != "" {
		p.printf("    try  %s\n", wrap(s.Command, indent, width))
	}
}

func (p *stepPrinter) row(s timewait.Step) {
	if !p.table {
		p.table = true
		p.printf("\n  %s, tcp_tw_reuse=%d\n\n", load(s), *s.TWReuse)
		p.printf("  %-32s  %6s  %5s  %17s  %4s\n", "", "", "", "TIME-WAIT at the", "")
		p.printf("  %-32s  %6s  %5s  %8s %8s  %4s\n", "", "opened", "ideal", "client", "server", "RST")
	}
	p.printf("\n  %-32s  %6d  %5d  %8d %8d  %4d\n", s.Did, *s.Opened, *s.Ideal, *s.ClientTimeWait, *s.ServerTimeWait, *s.Resets)
}

func load(s timewait.Step) string {
	return fmt.Sprintf("%d requests by %d workers, who think in between", *s.Requests, *s.Ideal)
}

// verdict says in a line how it came out, which is an error where the kernel did
// otherwise than expected.
func (p *stepPrinter) verdict() error {
	if n := len(p.otherwise); n > 0 {
		return fmt.Errorf("%d of %d steps came out other than expected: %s", n, p.all, strings.Join(p.otherwise, "; "))
	}
	if !p.json {
		p.printf("\nAll %d steps came out as expected.\n", p.all)
	}
	return p.failed
}
